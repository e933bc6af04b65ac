"""Price by compiled code where it is there: trees and neighbours' means, to the last bit what numpy says, in less time.

The library is one C file, compiled into the environment by whoever sets that up (`hearth native`, which `make` calls); it
is no part of a bento, whose bytes do not depend on a compiler. Without it numpy does the same. It is loaded
only if it was made from the very native.c that lies beside this file, and used only once it has given numpy's answers.
"""

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearth.errors import Refusal
from hearth.levels import Levels
from hearth.masks import Masks
from hearth.neighbours import TWIN_KM2, Neighbours, Square

Floats = NDArray[np.float64]
Inputs = NDArray[np.float32]

NATIVE, OFF = "HEARTH_NATIVE", "off"  # the library's path, or the word; without it, where `hearth native` puts it
SOURCE = Path(__file__).with_name("native.c")
LIBRARY = "hearth_native.so"
FLAGS = ("-O3", "-std=c11", "-fPIC", "-shared", "-ffp-contract=off")
_ROWS, _NEAREST_MAX = 16, 1024  # ROWS and NEAREST_MAX of native.c
DIFFERS = (
    "the compiled code does not answer as numpy does; `hearth native` makes it anew, HEARTH_NATIVE=off does without."
)
SAMPLE = 20  # rows, and known sales, on which both ways have to agree before this one is used

_Long, _Address = ctypes.c_int64, ctypes.c_void_p


class _Trees(ctypes.Structure):
    _fields_ = (
        *((name, _Long) for name in ("trees", "splits", "leaves", "features", "leveled")),
        *((name, _Address) for name in ("feature", "threshold", "right_if_missing", "mark", "asked")),
        *((name, _Address) for name in ("first", "upward", "of_tree", "missing", "marked", "leaf")),
        ("ensembles", _Long),
        *((name, _Address) for name in ("ends", "out", "scratch")),
    )


class _Means(ctypes.Structure):
    _fields_ = (
        *((name, _Long) for name in ("columns", "means", "count")),
        *((name, _Address) for name in ("east", "north", "like", "residual", "softening", "alike", "fourth")),
        ("twin", ctypes.c_double),
    )


def digest() -> str:
    """Return what tells a library which native.c it was made from."""
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()


def place() -> Path:
    """Return where this environment's library is, or would be; not beside a Python's packages, since it serves any Python."""
    return Path(sys.prefix, "lib", LIBRARY)


def native() -> "Native | None":
    """Return the compiled code of this environment, or nothing; refuse one that was named and is not there or not ours."""
    named = os.environ.get(NATIVE, "")
    path = Path(named) if named else place()
    if named == OFF or not (named or path.is_file()):
        return None
    try:
        if not _whole(path.read_bytes()):
            raise OSError("it is cut off")  # whose loading would end this process
        # PyDLL keeps the interpreter's lock: all calls of a release share its scratch.
        library = ctypes.PyDLL(str(path))
        library.hearth_source.restype = ctypes.c_char_p
        made_from = library.hearth_source().decode()
    except (OSError, AttributeError) as error:
        if not named:
            return None  # of another kind of machine, or cut off
        raise Refusal(f"{NATIVE}: {path} is no compiled code of hearth ({error}); `hearth native` makes one, `off` does without.") from None  # fmt: skip
    if made_from != digest():
        if not named:
            return None
        raise Refusal(
            f"{NATIVE}: {path} was made from another native.c; `hearth native` makes it anew, `off` does without."
        )
    return Native(library)


def _whole(content: bytes) -> bool:
    """Return whether a file holds all that its ELF header speaks of, whose sections end it; of other kinds nothing is known."""
    if content[:5] != b"\x7fELF\x02":  # 64 bits
        return bool(content)
    sections = int.from_bytes(content[40:48], "little")
    size, number = (int.from_bytes(content[place : place + 2], "little") for place in (58, 60))
    return len(content) >= max(64, sections + size * number)


class Native:
    """Hold the loaded library."""

    def __init__(self, library: ctypes.PyDLL) -> None:
        """Say what its functions take; none of them returns anything."""
        self.library = library
        library.hearth_trees.argtypes, library.hearth_trees.restype = [_Address, _Address, _Long, _Address], None
        library.hearth_means.argtypes = [_Address, _Address, _Address, _Long, _Address, _Address]
        library.hearth_means.restype = None

    def trees(self, parts: Sequence[Levels | Masks], base: Floats, n_inputs: int) -> Callable[[Inputs], Floats]:
        """Return what evaluates the trees of all parts: inputs (n_rows, n_inputs) to sums with the base (n_rows, n_ensembles)."""
        tables, add = [_laid_out(part, n_inputs) for part in parts], self.library.hearth_trees

        def run(inputs: Inputs) -> Floats:
            rows = np.ascontiguousarray(inputs, dtype=np.float32)
            if rows.shape[1] != n_inputs:
                raise ValueError(f"{rows.shape[1]} inputs, wanted {n_inputs}")
            found = np.zeros((len(rows), len(base)))
            start, end = rows.ctypes.data, found.ctypes.data
            for table in tables:
                add(table, start, len(rows), end)
            found += base
            return found

        some = _telling(parts, n_inputs)
        wanted = sum(part.run(some) for part in parts) + base
        alone = np.concatenate([run(row[None]) for row in some])
        if run(some).tobytes() != wanted.tobytes() or alone.tobytes() != wanted.tobytes():
            raise Refusal(DIFFERS)
        return run

    def neighbours(self, known: Neighbours) -> Neighbours:
        """Return a look-up of the same sales by this library, or, where it looks at very many of them, the one given."""
        if known.params.count > _NEAREST_MAX:
            return known
        found = Compiled(known, self.library)
        some = known.known[np.linspace(0, len(known.known) - 1, SAMPLE).astype(int), :-2] + 0.01
        if not np.array_equal(found.means(some), known.means(some)):
            raise Refusal(DIFFERS)
        return found


def _telling(parts: Sequence[Levels | Masks], n_inputs: int) -> Inputs:
    """Return rows (SAMPLE, n_inputs) that tell a wrong question from a right one: each value is a threshold, or missing."""
    found = np.zeros((SAMPLE, n_inputs), dtype=np.float32)
    for part in parts:
        for feature in np.unique(part.feature):
            known = np.sort(part.threshold[(part.feature == feature) & np.isfinite(part.threshold)])
            if len(known):
                found[:, feature] = known[np.linspace(0, len(known) - 1, SAMPLE).astype(int)]
    found[0, ::2] = found[1, 1::2] = np.nan
    return found


def _pointing(struct: ctypes.Structure, **arrays: NDArray[np.generic] | None) -> Any:
    """Let a struct point to arrays, which live as long as it does; return what a function takes for its address."""
    for name, array in arrays.items():
        setattr(struct, name, None if array is None else array.ctypes.data)
    struct.arrays = arrays
    return ctypes.byref(struct)


def _laid_out(part: Levels | Masks, n_inputs: int) -> Any:
    """Return the tables of native.c: by tree for many rows, and by feature and threshold for a row alone."""
    splits, trees = part.feature.shape
    if part.feature.max() >= min(n_inputs, 2**16):
        raise ValueError(f"a tree that asks for input {part.feature.max()} of {n_inputs}")
    if leveled := isinstance(part, Levels):
        mark, right = np.broadcast_to(part.bits, part.feature.shape), np.zeros_like(part.feature, dtype=bool)
    else:
        mark, right = part.ruled_out, part.right_if_missing
    # The rest fills shorter trees up. What nothing lies above still says where missing values go.
    real = (mark != 0) & ((part.threshold < np.inf) | right)
    order = np.lexsort((part.threshold[real], part.feature[real]))
    tables = {
        "feature": part.feature.T.astype(np.uint16),
        "threshold": part.threshold.T.astype(np.float32),
        "right_if_missing": right.T.astype(np.uint8) if right.any() else None,
        "mark": mark.T.astype(np.uint64),
        "asked": (real * np.arange(1, splits + 1)[:, None]).max(axis=0),
        "first": np.searchsorted(part.feature[real][order], np.arange(n_inputs + 1)),
        "upward": part.threshold[real][order].astype(np.float32),
        "of_tree": np.broadcast_to(np.arange(trees), real.shape)[real][order].astype(np.uint32),
        "missing": right[real][order].astype(np.uint8),
        "marked": mark[real][order].astype(np.uint64),
        "leaf": part.leaf.astype(np.float64),
        "ends": part.ends.astype(np.int64),
        "out": np.zeros(trees, dtype=np.uint64),
        "scratch": np.empty(_ROWS * (trees + n_inputs) + 8),
    }
    struct = _Trees(trees=trees, splits=splits, leaves=part.leaf.shape[1], features=n_inputs, leveled=leveled,
                    ensembles=len(part.ends))  # fmt: skip
    return _pointing(struct, **{n: None if t is None else np.ascontiguousarray(t) for n, t in tables.items()})


class Compiled(Neighbours):
    """Look up known sales around houses by compiled code."""

    def __init__(self, known: Neighbours, library: ctypes.PyDLL) -> None:
        """Take the sales that are known and the library."""
        super().__init__(known.known, known.params)
        self._call = library.hearth_means
        self._struct = _pointing(
            _Means(columns=len(self._like), means=len(self._alike), count=self._count, twin=TWIN_KM2),
            east=np.ascontiguousarray(self.known[:, 0]),
            north=np.ascontiguousarray(self.known[:, 1]),
            like=np.ascontiguousarray(self._like.T),
            residual=self._residual,
            softening=self._softening.ravel(),
            alike=self._alike.astype(np.uint8),
            fourth=np.isin(np.arange(len(self._alike)), self._fourth).astype(np.uint8),
        )
        self._scratch = np.empty(2 * len(self.known))
        self._address = self._scratch.ctypes.data

    def means(self, houses: Floats) -> Floats:
        """Return the means (n_houses, n_means) of houses that have a place."""
        houses = np.ascontiguousarray(houses, dtype=np.float64)
        found = np.empty((len(houses), len(self._alike)))
        if not len(houses):
            return found
        squares = self._in_square_of(houses)
        rows = squares[0].row if len(squares) == 1 else np.concatenate([square.row for square in squares])
        self._call(self._struct, houses.ctypes.data, rows.ctypes.data, len(houses), self._address, found.ctypes.data)
        return found

    def _candidates(self, square: Square) -> "_Candidates":
        return _Candidates(super()._candidates(square))


class _Candidates:
    """Hold the sales of a square, and the struct Square of native.c that says where they are."""

    def __init__(self, numbers: NDArray[np.int32]) -> None:
        self.numbers = numbers
        self.row = np.array([numbers.ctypes.data, len(numbers)])
