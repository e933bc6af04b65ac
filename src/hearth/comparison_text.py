"""Tell a comparison to people: in a terminal, or as Markdown for a pull request. The tables are the same."""

from collections.abc import Sequence
from typing import NamedTuple

from hearth.comparison import Comparison, Difference, Side

# What is told of a metric: its words, and how its figures are written.
FORMATS = {"rmse_log": ("{:.4f}", "{:+.4f}"), "mdape": ("{:.2%}", "{:+.2%}"), "bias": ("{:+.2%}", "{:+.2%}"),
           "coverage": ("{:.1%}", "{:+.1%}")}  # fmt: skip
BY_CHANCE = "up to one in twenty does by chance alone"
SHOWN = 12  # rows of a table of slices, params or columns; --json has them all


class Table(NamedTuple):
    """Be a table with a heading; the first column holds words, the others figures. Without rows, `otherwise` is said."""

    heading: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    otherwise: str = ""


def introduction(found: Comparison) -> list[str]:
    """Return what was compared, on which rows, and which fits were scored."""
    lines = [
        f"{_side(found.base)} → {_side(found.candidate)}",
        f"Scored on {found.rows:,} sales from {found.first_day} to {found.last_day}, which neither model was fitted on.",
        f"Intervals hold {found.level:.0%} of the draws of a paired bootstrap.",
    ]
    if found.base.scored != found.candidate.scored:
        lines.append(
            f"Scored fits: {found.base.scored} of {found.base.name}, {found.candidate.scored} of {found.candidate.name}."
        )
    return lines + [f"Note: {note}." for note in found.notes]


def verdict(found: Comparison) -> str:
    """Return one sentence that sums it up."""
    told = {said: [name for name, d in found.differences.items() if d.verdict == said] for said in ("better", "worse")}
    parts = [f"{said} in {', '.join(names)}" for said, names in told.items() if names]
    slices = f"{len(found.worse_slices)} of {len(found.slices)} slices got worse"
    slices += f" ({BY_CHANCE})" if found.worse_slices else ""
    return f"The candidate is {' and '.join(parts)}; {slices}." if parts else f"No evidence of a difference; {slices}."


def tables(found: Comparison) -> list[Table]:
    """Return all tables in their order."""
    old, new = found.base.name, found.candidate.name
    level = f"{found.level:.0%} interval"
    worse = found.worse_slices
    data = found.data
    corrected = ", ".join(f"{name} {count:,}" for name, count in data.corrected_columns.items())
    overall = [(name, *figures(name, d), d.verdict) for name, d in found.differences.items()]
    slices = [(f"{s.slice}: {s.group}", f"{s.rows:,}", name, *figures(name, d)) for s in worse
              for name, d in (("mdape", s.mdape), ("rmse_log", s.rmse_log)) if d.verdict == "worse"]  # fmt: skip
    params = [(key, _short(pair.base), _short(pair.candidate)) for key, pair in found.params.items()]
    metrics = [(key, _number(pair.base), _number(pair.candidate)) for key, pair in found.metrics.items()]
    gates = ["passed" if passed else "failed" for passed in (found.gates.base, found.gates.candidate)]
    rows = [("all", f"{data.base_rows:,}", f"{data.candidate_rows:,}"), ("added", "", f"{data.added:,}"),
            ("gone", "", f"{data.gone:,}"),
            ("corrected" + (f" ({corrected})" if corrected else ""), "", f"{data.corrected:,}")]  # fmt: skip
    other = [(name, _short(pair.base), _short(pair.candidate)) for name, pair in data.other_columns.items()]
    moved = [(m.column, m.base, m.candidate, f"{m.distance:.3f}", f"{m.by_chance:.3f}") for m in data.moved]
    return [
        Table("On the same unseen sales", ("metric", old, new, "difference", level, "verdict"), overall),
        Table("Slices that got worse", ("slice", "rows", "metric", old, new, "difference", level),
              _first(slices), f"none of {len(found.slices)}"),
        Table("Params that differ", ("param", old, new), _first(params), "none"),
        Table("metrics.json, each on its own test sales", ("metric", old, new), [*metrics, ("gate", *gates)]),
        Table("Accepted sales", ("rows", old, new), rows),
        Table("Columns that only one side has, or has in another type", ("column", old, new), _first(other), "none"),
        Table("Columns that moved more than by chance", ("column", old, new, "distance", "by chance"),
              _first(moved), "none"),
    ]  # fmt: skip


def terminal(found: Comparison) -> str:
    """Return the comparison for a terminal."""
    lines = [*introduction(found), verdict(found)]
    for table in tables(found):
        lines += ["", *terminal_table(table)]
    return "\n".join(lines)


def terminal_table(table: Table) -> list[str]:
    """Return the lines of a table for a terminal, its heading first."""
    if not table.rows:
        return [f"{table.heading}: {table.otherwise}"]
    grid = [[str(cell) for cell in row] for row in (table.head, *table.rows)]
    wide = [max(len(row[place]) for row in grid if place < len(row)) for place in range(len(table.head))]
    return [table.heading, *(_aligned(row, wide) for row in grid)]


def markdown(found: Comparison) -> str:
    """Return the comparison as GitHub's Markdown."""
    lines = [f"## hearth compare: {verdict(found)}", "", *introduction(found)]
    for table in tables(found):
        lines += ["", f"### {table.heading}" + ("" if table.rows else f": {table.otherwise}")]
        if table.rows:
            lines += ["", _row(table.head), _row(["---", *["--:"] * (len(table.head) - 1)])]
            lines += [_row([*row, *[""] * (len(table.head) - len(row))]) for row in table.rows]
    return "\n".join(lines)


def _side(side: Side) -> str:
    commit = "" if side.commit is None or side.commit.startswith(side.name) else f" ({side.commit[:7]})"
    return f"{side.name}{commit}, model {side.model_version}"


def figures(name: str, d: Difference) -> tuple[str, ...]:
    """Return a metric of the base and of the candidate, their difference and its interval, as they are written."""
    plain, signed = FORMATS[name]
    low, high = (signed.format(end) for end in d.interval)
    return plain.format(d.base), plain.format(d.candidate), signed.format(d.difference), f"{low} to {high}"


def _first(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    more = [(f"and {len(rows) - SHOWN} more (--json has them)",)] if len(rows) > SHOWN else []
    return [*rows[:SHOWN], *more]


def _short(value: object) -> str:
    text = "none" if value is None else " ".join(str(value).split())
    return text if len(text) <= 40 else text[:37] + "..."


def _number(value: float) -> str:
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.4f}"


def _aligned(row: Sequence[str], wide: Sequence[int]) -> str:
    cells = [row[0].ljust(wide[0]), *(cell.rjust(wide[place]) for place, cell in enumerate(row[1:], 1))]
    return ("  " + "  ".join(cells)).rstrip()


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
