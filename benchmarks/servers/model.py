"""Price a house as simply as can be: what the servers beside the bento call."""

import os
import uuid
from pathlib import Path
from typing import Any

from hearth.native import native
from hearth.release import open_release
from hearth.request import columns_of
from hearth.storage import read_folder

RELEASE = open_release(read_folder(Path(os.environ["HEARTH_TOP"], "models/model")), "models/model", native())


def price(house: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of /predict; nothing is checked."""
    columns = columns_of([house | {"date": None}], RELEASE.contract, RELEASE.facts.as_of)
    found = RELEASE.predict(columns)
    return {
        "prediction_id": uuid.uuid4().hex,
        "price": found.price.item(),
        "low": found.low.item(),
        "high": found.high.item(),
        "model_version": RELEASE.manifest.model_version,
        "warnings": [],
    }
