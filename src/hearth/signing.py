"""Sign a release with a private key, and let only a signed one be opened where a public key is named.

The manifest names each file with its hash, so its signature is one of the whole release; it is checked on raw bytes,
before any parser sees them. Ed25519 (RFC 8032), in the files of OpenSSL: PEM keys, a signature in base64.
"""

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from hearth.errors import Refusal

# Each is the name of a file, in the environment of the service.
PUBLIC_KEY, SIGNATURE = "HEARTH_PUBLIC_KEY", "HEARTH_SIGNATURE"
WANTED = "an Ed25519 key in PEM, as `hearth sign --new-key` or `openssl genpkey -algorithm ed25519` makes"


def new_key() -> tuple[bytes, bytes]:
    """Return a private key and its public key, in PEM."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def sign(content: bytes, private: bytes, where: str) -> bytes:
    """Return the signature of the content, in base64; refuse what is no private key. `where` names the key's file."""
    try:
        key = load_pem_private_key(private, password=None)
    except (ValueError, TypeError):  # TypeError: a key that asks for a password
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refusal(f"{where} is no private key that signs, wanted {WANTED}, without a password.")
    return base64.b64encode(key.sign(content)) + b"\n"


def check(content: bytes, signature: bytes, public: bytes, what: str) -> None:
    """Refuse content that was not signed with the private key of this public key; `what` names the content."""
    try:
        key = load_pem_public_key(public)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise Refusal(f"the public key for {what} is none that checks a signature, wanted {WANTED}.")
    try:
        key.verify(base64.b64decode(signature.strip(), validate=True), content)
    except (InvalidSignature, binascii.Error):
        raise Refusal(f"{what} is not signed with the key that it has to be signed with; do not use it. Who made it "
                      "has to sign it.") from None  # fmt: skip
