"""Price each row of a CSV, parquet or JSON lines file, as the service would; rows that break the contract go to a side file.

FILE has the features of the contract as columns; more columns go along into the output, a date may be left out. Row numbers
count from 0, without the header. Exit status 0: every row is priced, 1: some were refused, 2: nothing was written.
"""

import argparse
import io
import json
import lzma
import sys
import tarfile
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from hearth.answering import Answers, ServiceParams
from hearth.batch import PRICED, REFUSED, Batch, carried, missing, renamed
from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.native import native
from hearth.operations import absolute
from hearth.params import section
from hearth.paths import BENTO, MODEL
from hearth.progress import progress
from hearth.records import FORMS, Sink, Source, beside, ending, form, reading, writing
from hearth.release import open_release
from hearth.storage import read_bytes, read_folder

CHUNK_ROWS = 4096
LINES = 10  # of progress, where there is no terminal


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the file, where the prices go, and which model makes them."""
    known = ", ".join(FORMS)
    parser.add_argument("file", type=_table, metavar="FILE", help=f"rows to price; it ends with {known}")
    parser.add_argument("-o", "--output", type=_table, metavar="FILE",
                        help="where the prices go, in the format that its ending says (without it: FILE with .predictions "
                             "before its ending); refused rows go beside it, with .refused, in FILE's own format")  # fmt: skip
    parser.add_argument("--model", type=absolute, default=MODEL, metavar="FOLDER",
                        help=f"folder of a release, or a bento such as {BENTO} (without it: {MODEL})")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _table(text: str) -> Path:
    try:
        ending(Path(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return absolute(text)


def run(options: argparse.Namespace) -> int:
    """Price the rows and say how many; the answer is no if a row was refused."""
    output = options.output or beside(options.file, "predictions", ending(options.file))
    try:
        told = priced(options.file, output, options.model)
    except (Refusal, OSError) as error:
        print(f"error: {error if isinstance(error, Refusal) else _unwritten(error, output)}", file=sys.stderr)
        return 2
    print(json.dumps(told, indent=2) if options.json else "\n".join(_page(told)))
    return int(told["refused"] > 0)


def _unwritten(error: OSError, output: Path) -> str:
    return (
        f"{error.filename or output} cannot be written ({error.strerror or error}); make room or give -o another name."
    )


def priced(file: Path, output: Path, model: Path) -> dict[str, Any]:
    """Write the prices and the refused rows, both or neither, and return the summary."""
    refusals = beside(output, "refused", ending(file))
    for path in (output, refusals):
        if path.resolve() == file.resolve():
            raise Refusal(f"{path} is the input and would be overwritten; give -o another name.")
        if path.is_dir():
            raise Refusal(f"{path} is a folder; give -o the name of a file.")
    answers = Answers(open_release(_model_files(model), str(model), native()), section("service", ServiceParams))
    batch, counts, faults = Batch(answers, form(file)), Counter[str](), Counter[str]()
    with reading(file, CHUNK_ROWS) as source, ExitStack() as stack:
        _check_columns(source.names, file, answers.contract)
        out, refused = stack.enter_context(_prices(output, source, answers.contract)), None
        step = stack.enter_context(progress(source.total, unit=source.unit, lines=LINES))
        for rows, more in source.chunks:
            found = batch.run(rows)
            out.write(found.priced)
            if found.refused:
                refused = refused or stack.enter_context(_refusals(refusals, source))
                refused.write(found.refused)
            counts.update(rows=len(rows), priced=len(found.priced), refused=len(found.refused))
            counts.update(warned=found.warned, undated=found.undated)
            faults += found.faults
            step(f"{counts['rows']:,} rows, {counts['refused']:,} refused", more)
        if not counts["rows"]:
            raise Refusal(f"{file} has no rows; wanted at least one. Check what wrote it.")
    if not refused:
        refusals.unlink(missing_ok=True)  # of an earlier run
    return {
        "input": str(file),
        "output": str(output),
        "side_file": str(refusals) if refused else None,
        **{name: counts[name] for name in ("rows", "priced", "refused", "warned", "undated")},
        "faults": dict(sorted(faults.items(), key=lambda entry: (-entry[1], entry[0]))),
        "as_of": str(answers.release.facts.as_of),
        "model_version": answers.release.manifest.model_version,
    }


def _model_files(model: Path) -> dict[str, bytes]:
    """Return the files of a release, in a folder or in a bento."""
    if model.suffix != ".bento":
        return read_folder(model)
    try:
        with tarfile.open(fileobj=io.BytesIO(read_bytes(model)), mode="r:xz") as archive:
            inside = {PurePosixPath(member.name): member for member in archive if member.isfile()}
            found = {path.name: member for path, member in inside.items() if path.parent == PurePosixPath("src/model")}
            return {name: archive.extractfile(member).read() for name, member in found.items()}  # type: ignore[union-attr]
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise Refusal(
            f"{model} is not a whole bento ({error}); `dvc checkout` brings back the last good one."
        ) from None


def _check_columns(names: list[str] | None, file: Path, contract: Contract) -> None:
    """Refuse a table without a column that the model needs; JSON lines are judged one by one."""
    if names is not None and (lacking := missing(names, contract)):
        raise Refusal(f"{file} lacks the column {', '.join(lacking)} of the model's contract; it has {', '.join(names)}. "
                      "Rename or add it.")  # fmt: skip


def _prices(path: Path, source: Source, contract: Contract) -> AbstractContextManager[Sink]:
    money = pa.int64() if contract.target.type == "integer" else pa.float64()
    own = {"row": pa.int64(), "price": money, "low": money, "high": money}
    if source.names is None:
        return writing(path, PRICED, None, own)
    along = renamed(carried(source.names, contract), PRICED)
    return writing(path, PRICED, ["row", *along.values(), *PRICED[1:]], _types(source, along) | own)


def _refusals(path: Path, source: Source) -> AbstractContextManager[Sink]:
    if source.names is None:
        return writing(path, REFUSED, None, {})
    along = renamed(tuple(source.names), REFUSED)
    return writing(path, REFUSED, [*REFUSED, *along.values()], _types(source, along) | {"row": pa.int64()})


def _types(source: Source, along: Mapping[str, str]) -> dict[str, pa.DataType]:
    return {new: source.types[name] for name, new in along.items() if name in source.types}


def _page(told: dict[str, Any]) -> list[str]:
    lines = [
        f"{told['input']}: {told['rows']:,} rows, {told['priced']:,} priced, {told['refused']:,} refused",
        f"prices: {told['output']}" + (f" ({told['warned']:,} with a warning)" if told["warned"] else ""),
    ]
    if told["side_file"]:
        lines += [f"refused rows: {told['side_file']}"]
        lines += [f"  {count:,} × {field}" for field, count in told["faults"].items()]
    if told["undated"]:
        lines += [f"without a day, so priced for {told['as_of']}: {told['undated']:,} rows"]
    return [*lines, f"model: {told['model_version']}"]
