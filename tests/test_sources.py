"""Hold docs/sources.md against the sources that there are and their options."""

import re
from typing import Any

import pytest
import yaml
from conftest import PROJECT
from deeds import deeds_contract

from hearth.errors import Refusal
from hearth.sources import FILES, databases, opened, stream
from hearth.sources.databases import DatabaseOptions
from hearth.sources.formats import ENDINGS, PACKED, FileOptions
from hearth.sources.stream import StreamOptions
from hearth.sources.web import ApiOptions

TEXT = (PROJECT / "docs/sources.md").read_text()
CONTRACT = deeds_contract()


def part(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Tables", FileOptions),
        ("Databases", DatabaseOptions),
        ("Web interfaces", ApiOptions),
        ("Streams", StreamOptions),
    ],
)
def test_every_option_is_told_and_no_other(title: str, kind: Any) -> None:
    cells = re.findall(r"^\| (`.+?) \|", part(title), flags=re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(kind.model_fields)


def test_every_kind_of_address_and_every_ending_is_told() -> None:
    hidden = {"postgres", "mariadb", "abfs", "mqtts", "http"}  # other names of what is told
    for scheme in {*FILES, *databases.SCHEMES, *stream.SCHEMES} - hidden:
        assert f"{scheme}://" in TEXT, scheme
    for ending in {*ENDINGS, *PACKED} - {".htm"}:
        assert f"`{ending}`" in TEXT, ending


EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_read(text: str) -> None:
    collect = yaml.safe_load(text)["collect"]
    opened(collect["source"], collect["options"], CONTRACT)
    with pytest.raises(Refusal, match="is not a known key"):
        opened(collect["source"], collect["options"] | {"colour": 1}, CONTRACT)
