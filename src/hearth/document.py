"""Hold a text for people as data, sections of paragraphs, lists and tables, and write it as Markdown or HTML.

Whatever stands in it is plain text, in which only `code` between backticks is marked up: a word in a contract that
looks like Markdown or HTML stays the word that it is.
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Items:
    """Be a list; one entry per item."""

    entries: tuple[str, ...]


@dataclass(frozen=True)
class Terms:
    """Be a list of named facts; the text by its name."""

    entries: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """Be a table: its heads, and a tuple of as many cells per row."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block = str | Items | Terms | Table


@dataclass(frozen=True)
class Section:
    """Be a heading with what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """Be a titled text in sections."""

    title: str
    sections: tuple[Section, ...]


def markdown(document: Document) -> str:
    """Return the document as Markdown (GitHub's, for its tables), a heading of the second level per section."""
    parts = [f"# {_marked(document.title)}"]
    for section in document.sections:
        parts += [f"## {_marked(section.title)}", *(_markdown(block) for block in section.blocks)]
    return "\n\n".join(parts) + "\n"


def html_of(document: Document, level: int = 1) -> str:
    """Return the document as HTML without attributes of style; its title is a heading of that level, 1 to 5."""
    parts = [f"<h{level}>{_tagged(document.title)}</h{level}>"]
    for section in document.sections:
        heading = f"<h{level + 1}>{_tagged(section.title)}</h{level + 1}>"
        parts += ["<section>", heading, *(_html(block) for block in section.blocks), "</section>"]
    return "\n".join(parts) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Items):
        return "\n".join(f"- {_marked(entry)}" for entry in block.entries)
    if isinstance(block, Terms):
        return "\n".join(f"- **{_marked(name)}:** {_marked(text)}" for name, text in block.entries.items())
    if isinstance(block, Table):
        rule = "|" + "|".join("--:" if number else "---" for number in _numeric(block)) + "|"
        return "\n".join([_row(block.heads), rule, *map(_row, block.rows)])
    return _marked(block)


def _numeric(table: Table) -> list[bool]:
    """Return for each column whether all of its cells start with a number: it is set to the right."""
    cells = [[row[place] for row in table.rows] for place in range(len(table.heads))]
    return [bool(column) and all(re.match(r"[+\u2212-]?[$€£¥]?\d|–$", cell) for cell in column) for column in cells]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_marked(cell).replace("|", r"\|") for cell in cells) + " |"


def _html(block: Block) -> str:
    if isinstance(block, Items):
        return "<ul>" + "".join(f"<li>{_tagged(entry)}</li>" for entry in block.entries) + "</ul>"
    if isinstance(block, Terms):
        pairs = (f"<dt>{_tagged(name)}</dt><dd>{_tagged(text)}</dd>" for name, text in block.entries.items())
        return "<dl>" + "".join(pairs) + "</dl>"
    if isinstance(block, Table):
        kinds = [' class="number"' if number else "" for number in _numeric(block)]
        heads = "".join(
            f'<th scope="col"{kind}>{_tagged(head)}</th>' for head, kind in zip(block.heads, kinds, strict=True)
        )
        rows = "".join(
            f'<tr><th scope="row"{kinds[0]}>{_tagged(first)}</th>'
            + "".join(f"<td{kind}>{_tagged(cell)}</td>" for cell, kind in zip(rest, kinds[1:], strict=True))
            + "</tr>"
            for first, *rest in block.rows
        )
        return f'<div class="table"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    return f"<p>{_tagged(block)}</p>"


def _marked(text: str) -> str:
    """Return text for Markdown: on one line, with every sign that would mark something up taken as itself."""
    return _around_code(text, lambda plain: re.sub(r"([\\*_\[\]<>])", r"\\\1", plain), lambda code: f"`{code}`")


def _tagged(text: str) -> str:
    return _around_code(text, html.escape, lambda code: f"<code>{html.escape(code)}</code>")


def _around_code(text: str, plain: Callable[[str], str], code: Callable[[str], str]) -> str:
    """Return the text on one line, with what stands between two backticks written by `code`, the rest by `plain`."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    return "".join(code(part) if number % 2 else plain(part) for number, part in enumerate(parts))
