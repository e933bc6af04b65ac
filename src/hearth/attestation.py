"""State what was rebuilt from what, as an in-toto statement with SLSA's provenance, and hold such a statement to a commit.

Formats: in-toto Statement v1 and SLSA Provenance v1 (predicate), DSSE 1.0 (envelope of a signed one).
https://in-toto.io/Statement/v1, https://slsa.dev/provenance/v1
"""

import base64
import binascii
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hearth.errors import Refusal
from hearth.locks import name_of, within
from hearth.paths import LOCK
from hearth.signing import check as check_signature
from hearth.signing import sign
from hearth.strict import loads, parse
from hearth.verification import Verified, of_another_version

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD = "urn:hearth:dvc-repro:v1"  # what `hearth verify` does: the whole road, by force, from the source of a commit
PAYLOAD = "application/vnd.in-toto+json"
COMMIT, PARAMS = "commit", "params"


class Open(BaseModel):
    """Be a part of a statement: a reader of in-toto leaves alone what it does not know."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, populate_by_name=True)


class Resource(Open):
    """Be an artifact: a name or an address, and digests by algorithm, in hexadecimal."""

    name: str = ""
    uri: str = ""
    digest: dict[str, str] = Field(default_factory=dict)


class Definition(Open):
    """Say what was built: the commit and its params, in what environment, from what."""

    build_type: Literal["urn:hearth:dvc-repro:v1"] = Field(alias="buildType")
    external: dict[str, Any] = Field(alias="externalParameters")
    internal: dict[str, Any] = Field(alias="internalParameters", default_factory=dict)
    resolved: list[Resource] = Field(alias="resolvedDependencies")


class Builder(Open):
    """Say who built."""

    id: str = Field(min_length=1)


class Details(Open):
    """Say who built, and when."""

    builder: Builder
    metadata: dict[str, Any] = Field(default_factory=dict)


class Predicate(Open):
    """Be SLSA's provenance."""

    definition: Definition = Field(alias="buildDefinition")
    details: Details = Field(alias="runDetails")


class Statement(Open):
    """Be a statement about files, the outputs of the road, each by its digests."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    predicate_type: Literal["https://slsa.dev/provenance/v1"] = Field(alias="predicateType")
    subject: list[Resource] = Field(min_length=1)
    predicate: Predicate


def statement(
    found: Verified,
    params: Mapping[str, Any],
    materials: Mapping[str, bytes | Mapping[str, str]],
    builder: str,
    times: tuple[str, str],
) -> dict[str, Any]:
    """Return the statement of a verification whose lock is true.

    `materials` are what the road was made of besides the commit: contents, or digests by algorithm, by path. `builder` is an
    address of who built; `times` are its start and end, RFC 3339 in UTC.
    """
    resolved: list[dict[str, Any]] = [{"name": COMMIT, "digest": {"gitCommit": found.commit}}]
    for path, known in sorted(materials.items()):
        resolved.append({"name": path, "digest": _digest(known)})
    environment = found.environment.model_dump(mode="json")
    packages = environment.pop("packages")
    resolved += [{"uri": f"pkg:pypi/{name.lower()}@{version}"} for name, version in sorted(packages.items())]
    subjects = [{"name": path, "digest": digests.model_dump()} for path, digests in sorted(found.files.items())]
    return {
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": {COMMIT: found.commit, PARAMS: params},
                "internalParameters": {"environment": environment},
                "resolvedDependencies": resolved,
            },
            "runDetails": {
                "builder": {"id": builder},
                "metadata": {"startedOn": times[0], "finishedOn": times[1]},
            },
        },
    }


def encoded(document: Mapping[str, Any], private: bytes | None = None, where: str = "") -> bytes:
    """Return a statement as a file's content; with a private key in a signed envelope. `where` names the key's file."""
    try:
        text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except ValueError:
        raise Refusal(
            "params.yaml holds an infinity or NaN, which JSON cannot say, so nothing is attested; take another number."
        ) from None
    content = (text + "\n").encode()
    if private is None:
        return content
    signature = sign(_framed(content), private, where).decode().strip()
    envelope = {
        "payloadType": PAYLOAD,
        "payload": base64.b64encode(content).decode(),
        "signatures": [{"sig": signature}],
    }
    return (json.dumps(envelope, indent=2, sort_keys=True) + "\n").encode()


def decoded(content: bytes, where: str, public: bytes | None = None) -> Statement:
    """Return the statement in a file's content; refuse what is none, and with a public key what is not signed with its other half."""
    document = _document(content, where)
    payload = content
    if isinstance(document, dict) and "payloadType" in document:
        payload, signatures = _opened(document, where)
        if public is not None:
            _check(payload, signatures, public, where)
        document = _document(payload, where)
    elif public is not None:
        raise Refusal(f"{where} is not signed; `hearth verify --attest FILE --sign KEY` makes one that is.")
    return parse(Statement, document, where)


def faults(
    stated: Statement,
    lock: Mapping[str, Any],
    params: Mapping[str, Any],
    materials: Mapping[str, bytes | Mapping[str, str]],
    contents: Mapping[str, str],
) -> list[str]:
    """Return in words where a statement is not one of this commit's lock, params and materials, nothing if it is.

    `contents` are the SHA-256 of those outputs that are at hand, by path.
    """
    definition = stated.predicate.definition
    found = (
        [] if definition.external.get(PARAMS) == params else ["its params are not those of params.yaml at that commit"]
    )
    found += [f"it has the external parameter {name}, which is none of this build" for name in definition.external
              if name not in (COMMIT, PARAMS)]  # fmt: skip
    names = [one.name or one.uri for one in definition.resolved] + [one.name for one in stated.subject]
    found += [f"it names {name} twice" for name, count in Counter(names).items() if count > 1]
    known = {one.name: one.digest for one in definition.resolved if one.name}
    if known.pop(COMMIT, None) != {"gitCommit": str(definition.external.get(COMMIT))}:
        found.append("its commit is another among its dependencies")
    found += [
        f"it was made of {name}, which is no dependency of that commit" for name in known if name not in materials
    ]
    found += _packages(definition, materials)
    found += [f"{one.name} has no sha256, or no md5" for one in stated.subject if set(one.digest) != {"md5", "sha256"}]
    for path, content in materials.items():
        wanted = _digest(content)
        if known.get(path) != wanted:
            found.append(f"{path} was {_told(known.get(path))}, that commit has {_told(wanted)}")
    subjects = {one.name: one.digest for one in stated.subject}
    claimed: set[str] = set()
    for entry in (lock.get("stages") or {}).values():
        for out in entry.get("outs") or ():
            path = out["path"]
            files = {name: digest for name, digest in subjects.items() if within(name, path)}
            claimed |= files.keys()
            hashes = {name.removeprefix(path).lstrip("/"): str(digest.get("md5")) for name, digest in files.items()}
            if (there := name_of(hashes)) != out.get("md5"):
                found.append(f"{path} has the md5 {there}, dvc.lock of that commit has {out.get('md5')}")
    found += [f"{path} is no output of that commit" for path in sorted(subjects.keys() - claimed)]
    found += [f"{path} here has the sha256 {there}, stated is {subjects[path].get('sha256')}" for path, there in contents.items()
              if path in subjects and subjects[path].get("sha256") != there]  # fmt: skip
    return found


def _packages(definition: Definition, materials: Mapping[str, bytes | Mapping[str, str]]) -> list[str]:
    """Return in words which packages of the commit's lock it was not made with, as it says itself."""
    lock = materials.get(str(LOCK))
    if not isinstance(lock, bytes):
        return []
    stated = [one.uri.removeprefix("pkg:pypi/").partition("@")[::2] for one in definition.resolved if one.uri]
    return of_another_version(lock.decode(), dict(stated))


def _framed(payload: bytes) -> bytes:
    """Return what DSSE signs: its pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def _opened(envelope: Mapping[str, Any], where: str) -> tuple[bytes, Sequence[bytes]]:
    try:
        if envelope["payloadType"] != PAYLOAD:
            raise Refusal(
                f"{where} holds a {envelope['payloadType']}, wanted {PAYLOAD}, as `hearth verify --attest` writes it."
            )
        return base64.b64decode(envelope["payload"], validate=True), [
            one["sig"].encode() for one in envelope["signatures"]
        ]
    except (KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise Refusal(f"{where} is no DSSE envelope ({error!r}); `hearth verify --attest FILE` writes one.") from None


def _check(payload: bytes, signatures: Sequence[bytes], public: bytes, where: str) -> None:
    if len(signatures) != 1:
        raise Refusal(f"{where} has {len(signatures)} signatures, wanted one.")
    check_signature(_framed(payload), signatures[0], public, where)


def _document(content: bytes, where: str) -> Any:
    try:
        return loads(content)
    except ValueError as error:
        raise Refusal(
            f"{where} is no attestation, for it is not good JSON ({error}); `hearth verify --attest FILE` writes one."
        ) from None


def _digest(known: bytes | Mapping[str, str]) -> dict[str, str]:
    """Return the digests of a material: of its content, or those that are known already."""
    return {"sha256": hashlib.sha256(known).hexdigest()} if isinstance(known, bytes) else dict(known)


def _told(digest: Mapping[str, str] | None) -> str:
    return "not stated" if not digest else ", ".join(f"{name} {value}" for name, value in sorted(digest.items()))
