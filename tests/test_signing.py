"""Test that a signature is one of this content by this key, and of nothing else."""

import base64
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from samples import release_files

from hearth.cli import main
from hearth.errors import Refusal
from hearth.release import MANIFEST
from hearth.signing import check, new_key, sign

PRIVATE, PUBLIC = new_key()
CONTENT = b'{"format": "hearth-model-3"}'
SIGNATURE = sign(CONTENT, PRIVATE, "key")


def test_what_was_signed_passes() -> None:
    check(CONTENT, SIGNATURE, PUBLIC, "it")
    check(CONTENT, SIGNATURE.strip(), PUBLIC, "it")
    assert sign(CONTENT, PRIVATE, "key") == SIGNATURE


@pytest.mark.parametrize(
    ("content", "signature", "public"),
    [
        (CONTENT + b" ", SIGNATURE, PUBLIC), (CONTENT, SIGNATURE, new_key()[1]), (CONTENT, b"", PUBLIC), (CONTENT, b"%%%", PUBLIC),
        (CONTENT, base64.b64encode(b"x" * 64), PUBLIC), (CONTENT, SIGNATURE[:-4], PUBLIC), (b"", SIGNATURE, PUBLIC),
    ],
    ids=["more content", "another key", "no signature", "no base64", "a signature by nobody", "a short signature", "no content"],
)  # fmt: skip
def test_anything_else_is_refused(content: bytes, signature: bytes, public: bytes) -> None:
    with pytest.raises(Refusal, match=r"^it is not signed with the key that it has to be signed with; do not use it"):
        check(content, signature, public, "it")


def test_each_flipped_bit_of_the_content_is_noticed() -> None:
    for place in range(len(CONTENT) * 8):
        content = bytearray(CONTENT)
        content[place // 8] ^= 1 << place % 8
        with pytest.raises(Refusal, match="is not signed"):
            check(bytes(content), SIGNATURE, PUBLIC, "it")


def other_keys() -> tuple[bytes, bytes, bytes]:
    """Return an RSA key's two files, and a private key with a password."""
    rsa = generate_private_key(65537, 2048)
    private = rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    locked: Any = load_pem_private_key(PRIVATE, None)
    return (
        private,
        rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        locked.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")),
    )


def test_other_keys_are_refused_by_name() -> None:
    rsa, rsa_public, locked = other_keys()
    for private in (rsa, locked, PUBLIC, b"", b"nonsense"):
        with pytest.raises(Refusal, match=r"^my\.pem is no private key that signs, wanted an Ed25519 key in PEM"):
            sign(CONTENT, private, "my.pem")
    for public in (rsa_public, PRIVATE, b"", b"nonsense"):
        with pytest.raises(Refusal, match=r"^the public key for it is none that checks a signature"):
            check(CONTENT, SIGNATURE, public, "it")


def test_nothing_is_parsed_before_the_signature_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():  # BentoML's own
        warnings.simplefilter("ignore")
        from hearth import service
    (tmp_path / "model").mkdir()
    for name, content in release_files().items():
        (tmp_path / "model" / name).write_bytes(content)
    (tmp_path / "about.json").write_text("{}")
    (tmp_path / "key.pub").write_bytes(PUBLIC)
    (tmp_path / "sig").write_bytes(SIGNATURE)
    monkeypatch.setenv("HEARTH_PUBLIC_KEY", str(tmp_path / "key.pub"))
    monkeypatch.setenv("HEARTH_SIGNATURE", str(tmp_path / "sig"))

    class ParsedError(Exception):
        pass

    def parsed(*_: Any) -> None:
        raise ParsedError

    monkeypatch.setattr(service, "open_release", parsed)
    with pytest.raises(Refusal, match="is not signed"):
        service.open_answers(tmp_path)
    (tmp_path / "sig").write_bytes(sign((tmp_path / "model" / MANIFEST).read_bytes(), PRIVATE, "key"))
    with pytest.raises(ParsedError):
        service.open_answers(tmp_path)


def test_a_key_is_made_for_its_owner_only_and_never_overwritten(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "dvc.yaml").write_text("stages: {}\n")
    (workspace / "models/model").mkdir(parents=True)
    for name, content in release_files().items():
        (workspace / "models/model" / name).write_bytes(content)
    assert main(["sign", "--key", "mine", "--new-key"]) == 0
    assert (workspace / "mine").stat().st_mode & 0o077 == 0
    manifest = (workspace / "models/model" / MANIFEST).read_bytes()
    check(manifest, (workspace / "models/model.sig").read_bytes(), (workspace / "mine.pub").read_bytes(), "it")
    before = (workspace / "mine").read_bytes()
    assert main(["sign", "--key", "mine", "--new-key"]) == 1
    assert "exists already and is left as it is" in capsys.readouterr().err
    assert (workspace / "mine").read_bytes() == before
    assert main(["sign", "--key", "mine"]) == 0
    (workspace / "models/model/model.onnx").write_bytes(b"other")
    assert main(["sign", "--key", "mine"]) == 1  # what is not what its manifest says is not signed
