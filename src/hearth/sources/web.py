"""Read a web interface that answers in JSON, page by page, with patience: what fails for a while is asked again."""

import datetime
import hashlib
import json
from collections.abc import Iterator
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from pydantic import Field, model_validator

from hearth.cells import Notation
from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.row import Row, finite
from hearth.sources.address import Address, credentials, token
from hearth.sources.batch import Batch, dig
from hearth.sources.formats import of_objects
from hearth.strict import loads

TRIES = 5  # after the first; the waits between them double from half a second on
AGAIN = (429, 500, 502, 503, 504)
SECONDS = (10, 60)  # to connect, and between two parts of an answer
PAGE_BYTES = 256 << 20


class ApiOptions(Notation):
    """Say where in an answer the rows are, and how the next page is asked for.

    `rows` is a dotted path to the list, empty where the answer itself is one. Pages: `next`, a dotted path to the next page's
    address, or `link`, for one in the header Link; or `page`, a parameter that counts pages from `first`; or `offset`, a
    parameter that counts rows. `size` holds a parameter for rows per page and its value. `since` and `until` are parameters that
    take a day, where the interface can leave out what was known before, or from then on.
    """

    format: Literal["json"]
    rows: str = ""
    next: str | None = None
    link: bool = False
    page: str | None = None
    first: int = 1
    offset: str | None = None
    size: dict[str, int] = Field(default={}, max_length=1)
    since: str | None = None
    until: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum((self.next is not None, self.link, self.page is not None, self.offset is not None)) > 1:
            raise ValueError("at most one of next, link, page and offset")
        return self


class Api:
    """Be a web interface."""

    undated = False

    def __init__(self, address: Address, options: ApiOptions, contract: Contract) -> None:
        """Take what is asked; nothing is asked yet."""
        self._address, self._options, self._contract = address, options, contract
        self.since = options.since is not None

    def known_before(self, day: datetime.date) -> None:
        """Return None: pages have to be read to tell."""

    def batches(self, since: datetime.date | None, until: datetime.date) -> Iterator[Batch]:
        """Yield the rows of all pages; refuse a page that comes again, and a first page that is another at the end."""
        asked = {self._options.since: str(since) if since else None, self._options.until: str(until)}
        asked |= {self._options.page: str(self._options.first), self._options.offset: "0"}
        asked |= {name: str(rows) for name, rows in self._options.size.items()}
        more = {name: value for name, value in asked.items() if name and value}
        address: str | None = _with(self._address.text, more)
        seen: dict[str, str] = {}  # the rows of each page, by their hash, and where they stood
        asked_for: list[str] = []
        first, count, number = "", 0, self._options.first
        with _session() as session:
            while address:
                where = _shown(address)
                if address in asked_for:
                    raise Refusal(
                        f"{where} is named as the next page a second time, so the pages would never end; check collect.options.next."
                    )
                asked_for.append(address)
                document, found, link = self._page(session, address)
                mark = _mark(found)
                if found and mark in seen:
                    raise Refusal(f"{where} gives the very page that {seen[mark]} gave, so the pages would never end; check "
                                  "collect.options: next, link, page or offset.")  # fmt: skip
                seen[mark], first = where, first or mark
                given = (_row(count + place, entry) for place, entry in enumerate(found))
                yield from of_objects(where, given, self._contract, self._options)
                count, number = count + len(found), number + 1
                address = self._following(address, document, link, found, count, number)
            if len(asked_for) > 1 and _mark(self._page(session, asked_for[0])[1]) != first:
                raise Refusal(
                    f"{_shown(asked_for[0])} changed while the pages after it were read, so rows may be missing or doubled; collect again."
                )

    def _page(self, session: Any, address: str) -> tuple[Any, list[Any], str | None]:
        """Return a page, its rows, and the address of the next page if its header has it."""
        content, link = self._content(session, address)
        where = _shown(address)
        document = self._parsed(content, where)
        found = dig(document, self._options.rows)
        if not isinstance(found, list):
            raise Refusal(f"{where} has no list at {self._options.rows or 'its top'}, but {str(found)[:60]!r}; set "
                          "collect.options.rows in params.yaml to where the rows are.")  # fmt: skip
        return document, found, link

    def _following(
        self, address: str, document: Any, link: str | None, found: list[Any], rows: int, number: int
    ) -> str | None:
        """Return the next page's address, None after the last."""
        options = self._options
        if options.next is not None or options.link:
            following = link if options.link else dig(document, options.next or "")
            if not following:
                return None
            full = urljoin(address, str(following))
            if urlsplit(full).netloc != urlsplit(address).netloc:
                raise Refusal(f"{_shown(address)} says that the next page is on {urlsplit(full).netloc}; wanted one of {urlsplit(address).netloc}, "
                              "since the token would go with it.")  # fmt: skip
            return full
        if not found or not (
            options.page or options.offset
        ):  # a short page need not be the last: servers cap what is asked for
            return None
        return _with(address, {options.page: str(number)} if options.page else {str(options.offset): str(rows)})

    def _content(self, session: Any, address: str) -> tuple[bytes, str | None]:
        """Return a page's content, and the address of the next one if its header has it."""
        import requests

        where = _shown(address)
        try:
            with session.get(address, timeout=SECONDS, stream=True) as answer:
                content = bytearray()
                for part in answer.iter_content(1 << 16):
                    content += part
                    if len(content) > PAGE_BYTES:
                        raise Refusal(
                            f"{where} is larger than {PAGE_BYTES >> 20} MiB; ask for smaller pages (collect.options.size)."
                        )
                if answer.status_code != 200:
                    said = bytes(content[:80]).decode(errors="replace").split("\n")[0]
                    raise Refusal(f"{where} answered {answer.status_code} {answer.reason} ({said}), wanted 200; check the address, and the "
                                  "credentials in the environment (HEARTH_SOURCE_TOKEN, HEARTH_SOURCE_USER, HEARTH_SOURCE_PASSWORD).")  # fmt: skip
                return bytes(content), answer.links.get("next", {}).get("url")
        except requests.RequestException as error:
            raise Refusal(f"{where} cannot be read, also after {TRIES} more tries ({type(error).__name__}); check that it is "
                          "up, and collect again.") from None  # fmt: skip

    def _parsed(self, content: bytes, where: str) -> Any:
        try:
            return loads(content.decode("utf-8"), parse_float=finite)
        except ValueError as error:
            start = content[:60].decode(errors="replace").replace("\n", " ")
            raise Refusal(
                f"{where} is not good JSON ({error}); it begins with {start!r}. Is it a page for people, or an error?"
            ) from None


def _row(number: int, entry: Any) -> Row:
    return (
        Row(number, entry) if isinstance(entry, dict) else Row(number, {}, "the entry is no object with named values")
    )


def _mark(rows: list[Any]) -> str:
    """Return a hash of rows; what else stands on a page, such as how long it took, differs each time."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode(errors="replace")).hexdigest()


def _session() -> Any:
    """Return a session that asks again where that may help; it obeys Retry-After."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    session = requests.Session()
    retry = Retry(
        total=TRIES, backoff_factor=0.5, status_forcelist=AGAIN, allowed_methods=["GET"], raise_on_status=False
    )
    for scheme in (
        "http://",
        "https://",
    ):  # with the slashes: requests' own entries are longer than "http", and would win
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    user, password = credentials()
    if token():
        session.auth = _bear  # a header alone would be overwritten from a .netrc
    elif user:
        session.auth = (user, password or "")
    session.headers["Accept"] = "application/json"
    return session


def _bear(request: Any) -> Any:
    request.headers["Authorization"] = f"Bearer {token()}"
    return request


def _with(address: str, more: dict[str, str]) -> str:
    """Return an address with parameters, which take the place of those of the same name."""
    parts = urlsplit(address)
    known = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in more]
    return urlunsplit(parts._replace(query=urlencode([*known, *more.items()])))


def _shown(address: str) -> str:
    """Return an address for people; the next page's may have a secret of the server's in its parameters."""
    return urlunsplit(urlsplit(address)._replace(query="", fragment=""))
