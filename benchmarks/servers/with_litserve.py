"""Answer with LitServe, as its documentation shows it."""

import sys
from typing import Any

import litserve
from model import price


class Prices(litserve.LitAPI):
    """Price houses."""

    def setup(self, device: str) -> None:
        """Need nothing."""

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the price of a house."""
        return price(request)


if __name__ == "__main__":
    litserve.LitServer(Prices(), accelerator="cpu").run(port=int(sys.argv[1]), generate_client_file=False)
