"""Say where sales come from: one address and its options make a source that yields batches up to the watermark."""

from collections.abc import Mapping
from typing import Any

from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.sources import databases, files, stream, web
from hearth.sources.address import KEY, parsed
from hearth.sources.batch import Source
from hearth.sources.formats import FileOptions
from hearth.strict import nearest, parse

FILES = ("file", "s3", "gs", "az", "abfs", "http", "https")


def opened(text: str, options: Mapping[str, Any], contract: Contract) -> Source:
    """Return the source at an address or a path; refuse what is none, and options that it does not have. Nothing is asked yet."""
    address = parsed(text)
    where = "params.yaml: collect.options"
    if address.scheme in databases.SCHEMES:
        return databases.opened(address, parse(databases.DatabaseOptions, options, where), contract)
    if address.scheme in stream.SCHEMES:
        return stream.Stream(address, parse(stream.StreamOptions, options, where), contract)
    if address.scheme in ("http", "https") and options.get("format") == "json":
        return web.Api(address, parse(web.ApiOptions, options, where), contract)
    if address.scheme in ("", *FILES):
        return files.opened(address, parse(FileOptions, options, where), contract)
    known = [*FILES, *databases.SCHEMES, *stream.SCHEMES]
    raise Refusal(
        f"params.yaml: {KEY} begins with {address.scheme}://, which is not known; {nearest(address.scheme, known)}"
    )
