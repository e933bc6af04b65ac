"""Answer with FastAPI, as its documentation shows it: a pydantic model in, a dict out."""

import os
from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI
from model import price
from pydantic import create_model

COLUMNS = yaml.safe_load(Path(os.environ["HEARTH_TOP"], "data/contract.yaml").read_text(encoding="utf-8"))["columns"]
House: Any = create_model(
    "House", **{name: (type(c["example"]), ...) for name, c in COLUMNS.items() if c["role"] == "feature"}
)
app = FastAPI()


@app.post("/predict")
async def predict(house: House) -> dict[str, Any]:
    """Return the price of a house."""
    return price(house.model_dump())
