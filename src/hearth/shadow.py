"""Price houses with a candidate beside the champion: its answers are logged and never sent."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.release import Release
from hearth.request import columns_of

SHADOW = "HEARTH_SHADOW"  # the environment names by it the folder with a candidate's release


class Shadow:
    """Answer with a candidate's release what is asked of the one that is served."""

    def __init__(self, release: Release, served: Contract) -> None:
        """Refuse a candidate that reads what requests to the served release do not hold."""
        self.release, self.model_version = release, release.manifest.model_version
        given = {column.name for column in (*served.features, served.time)}
        wanted = {column.name for column in (*release.contract.features, release.contract.time)}
        if lacking := sorted(wanted - given):
            raise Refusal(
                f"the shadow {self.model_version} reads {lacking[0]}, which no request to the served model holds; "
                "shadow with a model of the same contract."
            )

    def answers(self, houses: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return for each house the candidate's price and interval, or why there is none; raise nothing."""
        try:
            columns = columns_of([dict(house) for house in houses], self.release.contract, self.release.facts.as_of)
            found = self.release.predict(columns)
            ends = np.stack([found.price, found.low, found.high], axis=1)
            if ends.shape != (len(houses), 3):
                raise ValueError(f"{len(ends)} prices for {len(houses)} houses")
        except Exception as error:  # whatever a candidate does, the served answer is out already
            return [self.failed(f"{type(error).__name__}: {error}"[:200])] * len(houses)
        return [self._answer(*row) for row in ends.tolist()]

    def failed(self, why: str) -> dict[str, Any]:
        """Return what is logged where the candidate gave no price."""
        return {"model_version": self.model_version, "error": why}

    def _answer(self, price: float, low: float, high: float) -> dict[str, Any]:
        if not np.isfinite([price, low, high]).all():
            return self.failed("a price that is no number")
        return {"model_version": self.model_version, "price": price, "low": low, "high": high}
