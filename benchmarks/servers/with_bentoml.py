"""Answer with BentoML, as its documentation shows it: a pydantic model in, one out."""

import os
from pathlib import Path
from typing import Any

import bentoml
import yaml
from model import price
from pydantic import create_model

from hearth.service import Answer

COLUMNS = yaml.safe_load(Path(os.environ["HEARTH_TOP"], "data/contract.yaml").read_text(encoding="utf-8"))["columns"]
House: Any = create_model(
    "House", **{name: (type(c["example"]), ...) for name, c in COLUMNS.items() if c["role"] == "feature"}
)


@bentoml.service(workers=1)
class Prices:
    """Price houses."""

    @bentoml.api
    async def predict(self, house: House, /) -> Answer:
        """Return the price of a house."""
        return Answer(**price(house.model_dump()))
