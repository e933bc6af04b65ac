"""Profile: describe the rows behind the released model, for the monitor to compare with."""

from pathlib import Path

import pandas as pd

from hearth.params import section
from hearth.parquet import columns_of, read_frame
from hearth.paths import MODEL, PROFILE, TEST, TRAIN
from hearth.profile import ProfileParams, profile
from hearth.release import open_release
from hearth.stages import run
from hearth.storage import read_folder, write_json


def main(train: Path = TRAIN, test: Path = TEST, model: Path = MODEL, target: Path = PROFILE) -> None:
    """Write the profile of all prepared rows and of the released model's predictions for them."""
    params = section("profile", ProfileParams)
    release = open_release(read_folder(model), str(model))
    columns = columns_of(pd.concat([read_frame(train), read_frame(test)], ignore_index=True))
    shape = profile(columns, release.contract, release.log_price(columns), params)
    write_json(target, shape | {"model_version": release.manifest.model_version})
    print(f"profiled {shape['rows']:,} rows, {len(shape['features'])} features")


if __name__ == "__main__":
    run(main)
