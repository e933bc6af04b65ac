"""Know where sales come from, without secrets: what stands in params.yaml also stands in git and in dvc.lock."""

import os
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlsplit

from hearth.errors import Refusal

KEY = "collect.source"
USER, PASSWORD, TOKEN = "HEARTH_SOURCE_USER", "HEARTH_SOURCE_PASSWORD", "HEARTH_SOURCE_TOKEN"
# Names that secrets go by in addresses, and ends of such names; signed addresses of object stores have some of them.
_SECRETS = {"auth", "code", "jwt", "key", "pass", "pin", "pw", "pwd", "session", "sig"}
_ENDS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "signature",
    "credential",
    "apikey",
    "accesskey",
    "secretkey",
    "accountkey",
)
_AT = ("file", "s3", "gs", "az", "abfs", "sqlite", "duckdb", "mqtt", "mqtts")  # whose paths may have an @


@dataclass(frozen=True)
class Address:
    """Hold a source's address in parts; `scheme` is empty for a path."""

    text: str
    scheme: str
    parts: SplitResult


def parsed(text: str) -> Address:
    """Return an address; refuse one that is none, or that has a secret in it."""
    if "://" not in text:
        return Address(text, "", urlsplit(""))
    scheme, _, rest = text.partition("://")
    if "@" in (rest.split("/")[0] if scheme.lower() in _AT else rest):
        raise Refusal(f"params.yaml: {KEY} has a user or a password in it, which git and dvc.lock would keep; take out what is "
                      f"before the @ and set {USER} and {PASSWORD} in the environment.")  # fmt: skip
    try:
        parts = urlsplit(text)
        good = parts.port != 0
    except ValueError:  # whose words may hold a part of a password
        good = False
    if not good:
        raise Refusal(
            f"params.yaml: {KEY} is no address; write it as scheme://host:port/path, without a user or a password."
        )
    if parts.fragment and parts.scheme in ("http", "https"):
        raise Refusal(f"params.yaml: {KEY} has a part behind #, which no server is sent; take it out.")
    for name in (name for name, _ in parse_qsl(parts.query.replace(";", "&"), keep_blank_values=True)):
        plain = name.lower().replace("-", "").replace("_", "")
        if plain in _SECRETS or plain.endswith(_ENDS):
            raise Refusal(f"params.yaml: {KEY} has {name}= in it, which git and dvc.lock would keep if it is a secret; take it out "
                          f"and set {TOKEN}, or {USER} and {PASSWORD}, in the environment.")  # fmt: skip
    return Address(text, parts.scheme.lower(), parts)


def credentials() -> tuple[str | None, str | None]:
    """Return the user and the password that the environment has for the source."""
    return os.environ.get(USER) or None, os.environ.get(PASSWORD) or None


def token() -> str | None:
    """Return the bearer token that the environment has for the source."""
    return os.environ.get(TOKEN) or None


def told(error: BaseException) -> str:
    """Return the first line of an error, without the secrets of the environment: a library may put them into its words."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    for name in (PASSWORD, TOKEN, "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD"):
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    return text
