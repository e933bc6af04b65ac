"""Fill Jinja's templates: every value is escaped that is not marked safe, and a name that is not given is an error."""

from collections.abc import Mapping
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined


def filled(templates: Mapping[str, str], name: str, **values: Any) -> str:
    """Return one of the templates, given by name, filled; it may extend, include and import the others."""
    loader = DictLoader(dict(templates))
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.get_template(name).render(**values) + "\n"
