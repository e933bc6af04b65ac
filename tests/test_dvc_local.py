"""Test the settings that a copy of the repository gets: DVC reads them back, whatever the folders are called."""

from pathlib import Path

import pytest
from dvc.config import Config

from hearth.dvc_local import configure

PLACES = ["plain", "ein Ort, weit über dem Fluß", "# no comment; 'quoted' \"twice\" = x", "家"]


@pytest.mark.parametrize("name", PLACES)
def test_dvc_reads_back_what_is_written(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    (place / ".dvc").mkdir(parents=True)
    configure(
        place,
        {"dir": str(place / "cache"), "type": ["reflink", "copy"]},
        {"sto re": {"url": str(place / "store"), "jobs": 2}},
        "sto re",
    )
    found = Config(str(place / ".dvc"))
    assert (found["cache"]["dir"], found["cache"]["type"]) == (str(place / "cache"), ["reflink", "copy"])
    assert found["core"]["remote"] == "sto re"
    assert (found["remote"]["sto re"]["url"], found["remote"]["sto re"]["jobs"]) == (str(place / "store"), 2)


def test_without_a_default_none_is_set_and_dvcs_own_writer_would_have_failed(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    configure(tmp_path, {"dir": str(tmp_path / "ü")}, {}, None)
    found = Config(str(tmp_path / ".dvc"))
    assert found["core"].get("remote") is None
    with pytest.raises(UnicodeEncodeError), found.edit("local") as local:
        local["cache"]["dir"] = str(tmp_path / "ü")
