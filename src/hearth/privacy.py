"""Find people in texts: e-mail addresses, phone numbers, names, and what private columns of the raw table hold.

The patterns are plain on purpose, and miss what has no form: an address spelt "at ... dot", ten digits without a mark or a
column that says phone, a rare given name without a title, a nickname, a name in another script. Numbers are no texts: a
column of numbers is a phone number only where its name says so.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from html.parser import HTMLParser
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hearth.contract import Contract
from hearth.given_names import GIVEN_NAMES
from hearth.strict import Strict, loads

EMAIL, PHONE, NAME, CONTENT, COLUMN = "e-mail address", "phone number", "name", "private content", "private column"
WINDOW = 6  # words by which a long private text is known again: its first ones

_EMAIL = re.compile(r"(?<![\w.+-])(?<!//)[\w.+-]*\w@(?!v\d)[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}(?![\w-])")
_EDGES = r"(?<![\w.,:/+#=&%-])(?:{})(?![\w%:/-]|[.,]\d)"
_PHONES = [re.compile(_EDGES.format(pattern)) for pattern in (
    r"(?:\+[1-9]\d{0,2}|00[1-9]\d{0,2}[ .\-/])(?:[ .\-/]?(?:\(\d{1,4}\)|\d{1,5})){2,6}",  # +49 (0)30 1234567
    r"(?:1[ .-])?\(?[2-9]\d{2}\)?[ .-][2-9]\d{2}[ .-]\d{4}",  # (206) 555-0142
    r"\(?0\d{1,4}\)?[ /]\d{3,8}(?:[ -]\d{2,5}){0,3}",  # 030 1234567, 0170/1234567
)]  # fmt: skip
_MARKED = re.compile(r"\b(?:phone|tel|telephone|mobile|fax|call|dial|telefon)\b\W{0,4}(\d[\d ().-]{5,18}\d)", re.I)
_PHONE_WORDS = {"phone", "telephone", "tel", "mobile", "fax", "telefon", "phonenumber"}
_DIGITS = range(8, 16)  # of a number with its country, at most 15 by E.164
_PART = r"[^\W\d_a-zß-öø-ÿ][^\W\d_]*(?:['’-][^\W\d_]+)*"  # a word that begins with a capital
_NAMED = re.compile(rf"\b({_PART})(?=((?: [A-Z]\.?)? )({_PART}))")  # looks ahead: each word may begin the next name
_TURNED = re.compile(rf"\b({_PART})(?=, ({_PART})\b)")
_LETTERS = re.compile(r"[^\W\d_]+")
_TITLES = re.compile(r"M(?:r|rs|s|iss|me)\b|Prof|Herr|Frau|Dr\b")
_TITLED = re.compile(rf"\b((?:Mr|Mrs|Ms|Miss|Prof|Herr|Frau|Mme)\.? (?:{_PART} )?{_PART})")
_DOCTOR = re.compile(rf"(?:^|[^\w\s] ?|\b[a-z]\w* )(Dr\.? (?:{_PART} )?{_PART})")  # behind a capital it is a drive
_WHOLE = re.compile(rf"{_PART}(?: (?:[A-Z]\.|von|van|de|der|da|bin|al|{_PART})){{1,3}}")
_NAME_WORDS = {"owner", "buyer", "seller", "agent", "contact", "surname", "firstname", "lastname", "fullname", "customer",
               "tenant", "person", "realtor", "broker", "applicant", "purchaser", "grantor", "grantee"}  # fmt: skip
_PLACES = {"Street", "St", "Avenue", "Ave", "Road", "Rd", "Drive", "Lane", "Way", "Court", "Place", "Boulevard", "Park", "Lake",
           "Island", "County", "City", "School", "University", "College", "Hill", "Hills", "Creek", "Bay", "Beach", "Hospital",
           "Church", "River", "Valley", "Village", "Heights", "Library", "Bridge", "Point"}  # fmt: skip
_WORD = re.compile(r"[^\W_][\w@.+'’-]*")
_SHOWN = ("title", "alt", "content", "value", "placeholder", "aria-label", "href")


class Hit(NamedTuple):
    """Be what was found in a text."""

    kind: str
    text: str


class Cell(NamedTuple):
    """Be a text, where it stands, and in how many rows."""

    column: str
    row: int
    text: str
    rows: int = 1


class Finding(Strict):
    """Hold what of one kind a column of a file holds: in how many rows, the first of them, and a masked example."""

    file: str
    column: str
    row: str
    kind: str
    rows: int
    example: str


def hits(text: str, column: str = "") -> list[Hit]:
    """Return what of a person stands in a text; the column's name decides in doubt."""
    said = _words_of(column)
    found = [Hit(EMAIL, one[0]) for one in _EMAIL.finditer(text)] if "@" in text else []
    if sum(map(str.isdigit, text)) >= _DIGITS.start - 1:
        found += [Hit(PHONE, number) for number in _phones(text, bool(said & _PHONE_WORDS))]
    return found + [Hit(NAME, name) for name in _names(text, bool(said & _NAME_WORDS))]


@cache
def _words_of(column: str) -> set[str]:
    """Return the words in the last part of a column's name, `buyer_first_name` and `firstName` alike, and neighbours as one."""
    last = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.rsplit(".", 1)[-1])
    words = [word for word in re.split(r"[^a-z]+", last.lower()) if word]
    return {*words, *(one + two for one, two in itertools.pairwise(words))}


def _phones(text: str, sure: bool) -> Iterator[str]:
    marked = [one[1] for one in _MARKED.finditer(text)]
    marked += re.findall(r"(?<![\d.])\d[\d ().-]{5,18}\d(?![\d.])", text) if sure else []
    formed = [one[0] for pattern in _PHONES for one in pattern.finditer(text)]
    for least, numbers in ((_DIGITS.start, formed), (_DIGITS.start - 1, marked)):
        yield from (number for number in numbers if least <= sum(map(str.isdigit, number)) < _DIGITS.stop)


def _names(text: str, sure: bool) -> Iterator[str]:
    if sure and _WHOLE.fullmatch(text.strip()):
        yield text.strip()
        return
    if _TITLES.search(text):
        yield from (one[1] for pattern in (_TITLED, _DOCTOR) for one in pattern.finditer(text))
    if not any(map(_given, _LETTERS.findall(text))):  # what follows costs ten times as much
        return
    for one in _NAMED.finditer(text):
        if _given(one[1]) and one[3].title() not in _PLACES and one[1].isupper() == one[3].isupper():
            yield one[1] + one[2] + one[3]
    for one in _TURNED.finditer(text):
        if _given(one[2]) and one[1].title() not in _PLACES and not _given(one[1]):  # a list of given names is none
            yield f"{one[1]}, {one[2]}"


def _given(word: str) -> bool:
    return word in GIVEN_NAMES or (word.isupper() and word.title() in GIVEN_NAMES)


def masked(hit: Hit) -> str:
    """Return what was found as it may be shown: enough to know it again for who has it, and no more."""
    if hit.kind == EMAIL:
        name, _, host = hit.text.partition("@")
        return f"{name[0]}***@{host[0]}***"
    if hit.kind == PHONE:
        return f"***{[letter for letter in hit.text if letter.isdigit()][-1]}"
    if hit.kind == NAME:
        return " ".join(f"{word[0]}***" for word in hit.text.split())
    return "***"


class Contents:
    """Know again what the private columns of a raw table hold, wherever else it stands.

    Only what is telling is looked for: of an identifier two words, or one with a digit or a sign in it; of what is sensitive
    three words; never a plain word or a number, which would be found everywhere.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[tuple[str, ...], str] = {}
        self._lengths: set[int] = set()

    def learn(self, table: pa.Table, contract: Contract) -> None:
        """Take in what the private text columns of a raw table hold."""
        for column in contract.private:
            if column.name in table.column_names and _textual(table[column.name].type):
                for text in pc.unique(table[column.name]).to_pylist():
                    words = _plain(text or "")[:WINDOW]
                    if _telling(words, column.role == "identifier"):
                        self._known[words] = column.name
                        self._lengths.add(len(words))

    def within(self, text: str) -> Iterator[Hit]:
        """Yield a hit for each private text that a text holds."""
        words = _plain(text) if self._known else ()
        for length in self._lengths:
            for start in range(len(words) - length + 1):
                if words[start : start + length] in self._known:
                    yield Hit(CONTENT, " ".join(words[start : start + length]))


def _plain(text: str) -> tuple[str, ...]:
    return tuple(word.rstrip(".'’-") for word in _WORD.findall(text.casefold()))


def _telling(words: tuple[str, ...], identifier: bool) -> bool:
    if len(words) == 1:
        return identifier and len(words[0]) >= 6 and not words[0].isalpha() and not words[0].isdigit()
    return len(words) >= (2 if identifier else 3)


def look(
    file: str, cells: Iterable[Cell], contents: Contents, public: str, name: Callable[[int], str]
) -> list[Finding]:
    """Return what the cells of a file hold of people, a finding per column and kind.

    What `public` holds is meant to be read; `name` names a row for people.
    """
    found: dict[tuple[str, str], Finding] = {}
    rows: Counter[tuple[str, str]] = Counter()
    for cell in cells:
        for hit in _first_of_each([*hits(cell.text, cell.column), *contents.within(cell.text)]):
            if " ".join(hit.text.split()) in public:
                continue
            place = (cell.column, hit.kind)
            rows[place] += cell.rows
            if place not in found:
                found[place] = Finding(
                    file=file, column=cell.column, row=name(cell.row), kind=hit.kind, rows=1, example=masked(hit)
                )
    return [finding.model_copy(update={"rows": rows[place]}) for place, finding in found.items()]


def _first_of_each(found: list[Hit]) -> list[Hit]:
    kinds: dict[str, Hit] = {}
    for hit in found:
        kinds.setdefault(hit.kind, hit)
    return list(kinds.values())


def barred(file: str, names: Iterable[str], rows: int, contract: Contract) -> list[Finding]:
    """Return a finding for each private column that a table after the raw one has."""
    private = {column.name for column in contract.private}
    return [Finding(file=file, column=name, row="all", kind=COLUMN, rows=rows, example="***")
            for name in names if name in private]  # fmt: skip


def cells_of(table: pa.Table, contract: Contract, raw: bool) -> Iterator[Cell]:
    """Yield each distinct text of a table once, with its first row; of a raw table not those of private columns."""
    private = {column.name for column in contract.private} if raw else set()
    for name in table.column_names:
        values = table[name]
        if pa.types.is_integer(values.type) and _words_of(name) & _PHONE_WORDS:
            values = values.cast(pa.string())
        if name in private or not _textual(values.type) or not len(values):
            continue
        encoded = values.cast(pa.string()).combine_chunks().dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy()
        texts = encoded.dictionary.to_pylist()
        for code, row, rows in zip(*np.unique(codes, return_index=True, return_counts=True), strict=True):
            if code >= 0:
                yield Cell(name, int(row), texts[code], int(rows))


def key_of(table: pa.Table, contract: Contract, row: int) -> str:
    """Return a row's key for people, or its number where the table has no keys."""
    names = [name for name in contract.keys if name in table.column_names]
    return " ".join(f"{name}={table[name][row].as_py()}" for name in names) or f"row {row}"


def _textual(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_string_view(inner))


def of_value(value: Any, row: int, column: str = "") -> Iterator[Cell]:
    """Yield the texts in a value out of JSON, keys too; a column is the dotted way to them, without places in lists."""
    if isinstance(value, str) or (type(value) is int and _words_of(column) & _PHONE_WORDS):
        yield Cell(column, row, str(value))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield Cell(column, row, key)
            yield from of_value(inner, row, f"{column}.{key}" if column else key)
    elif isinstance(value, list):
        for inner in value:
            yield from of_value(inner, row, column)


def of_json(text: str, row: int = 0) -> Iterator[Cell]:
    """Yield the texts in a document of JSON; of what is none, the lines."""
    try:
        return of_value(loads(text), row)
    except ValueError:
        return of_lines(text)


def of_lines(text: str) -> Iterator[Cell]:
    """Yield the lines of a text."""
    return (Cell("", number, line) for number, line in enumerate(text.splitlines(), 1))


def of_page(text: str) -> Iterator[Cell]:
    """Yield what a page in HTML shows or holds as data, not its styles and its code."""
    page = _Page(convert_charrefs=True)
    page.feed(text)
    page.close()
    yield from page.cells


class _Page(HTMLParser):
    cells: list[Cell]
    _data: list[str] | None  # of the script that is open, if it is no code

    def reset(self) -> None:
        super().reset()
        self.cells, self._inside, self._data = [], "", None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._inside, self._data = tag, [] if dict(attrs).get("type") == "application/json" else None
        for name, value in attrs:
            if name in _SHOWN and value:
                self.cells.append(Cell(name, self.getpos()[0], value.removeprefix("mailto:").removeprefix("tel:")))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self.cells += of_json("".join(self._data or ()), self.getpos()[0])
            self._inside, self._data = "", None

    def handle_data(self, data: str) -> None:
        if self._data is not None:
            self._data.append(data)
        elif not self._inside and data.strip():
            self.cells.append(Cell("", self.getpos()[0], " ".join(data.split())))
