"""Sign pictures with content credentials (C2PA), which say that facegen made them, and from which photo."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegen import __version__
from facegen.errors import FileError, MissingExtraError, UsageError, one_line
from facegen.files import replacing
from facegen.media.metadata import SOURCE_TYPES

if TYPE_CHECKING:
    import c2pa

_KEY = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----\s", re.DOTALL)
_CURVES = {256: "es256", 384: "es384", 521: "es512"}
_AGENT = {"name": "facegen", "version": __version__}
_PARENT = "source"
_SETTINGS = {"builder": {"thumbnail": {"enabled": False}}}
"""No thumbnails: the photo's would show the original face."""


@dataclass(frozen=True)
class Identity:
    """A private key and its certificates in PEM format."""

    key: str
    certificates: str
    algorithm: str
    """C2PA's name of the signature: es256, es384, es512, ps256 or ed25519."""


def read_identity(path: Path) -> Identity:
    """Read a PEM file with a private key and its chain of certificates, the key's certificate first.

    Raises:
        MissingExtraError: if the packages for signing are not installed.
        UsageError: if the file lacks a key or certificate, or the key has a password or an unsuitable type.
    """
    if not find_spec("c2pa") or not find_spec("cryptography"):
        raise MissingExtraError("Signing needs more packages: pip install 'facegen[credentials]'")
    try:
        text = path.read_bytes() + b"\n"
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check the path.") from None
    found = _KEY.search(text)
    certificates = _KEY.sub(b"", text)
    if found is None or b"-----BEGIN CERTIFICATE-----" not in certificates:
        raise UsageError(f"{path}: expected a PEM file with a private key and its certificates, one after the other.")
    return Identity(found[0].decode(), certificates.decode("ascii", "replace"), _algorithm(path, found[0]))


def sign(picture: Path, identity: Identity, source: Path | None) -> None:
    """Write content credentials into a picture or film without changing its pixels and record.

    They include the credentials of the source. There is no time stamp, which would need a server: the signature is
    valid as long as the certificate.

    Args:
        source: the photo it was made from; None if it was drawn.
    Raises:
        FileError: if the format of the picture or source cannot be signed, or the certificate is not for signing.
    """
    import c2pa

    info = c2pa.C2paSignerInfo(identity.algorithm, identity.certificates.encode(), identity.key.encode(), None)
    try:
        signer = c2pa.Signer.from_info(info)
        with c2pa.Builder(_manifest(picture, source), c2pa.Context.from_dict(_SETTINGS)) as builder:
            if source is not None:
                _add_source(builder, source)
            with replacing(picture) as temporary, picture.open("rb") as before, temporary.open("w+b") as after:
                builder.sign(signer, picture.suffix[1:].lower(), before, after)
    except c2pa.C2paError as error:
        raise FileError(f"{picture}: cannot be signed ({one_line(error)}).") from None


def _manifest(picture: Path, source: Path | None) -> dict[str, Any]:
    """Describe what was done: a picture was created, or a photo was opened and edited."""
    if source is None:
        actions = [_action("c2pa.created", digitalSourceType=SOURCE_TYPES["generated"])]
    else:
        edited = _action("c2pa.edited", digitalSourceType=SOURCE_TYPES["composite"])
        actions = [_action("c2pa.opened", parameters={"ingredientIds": [_PARENT]}), edited]
    return {
        "claim_generator_info": [_AGENT],
        "title": picture.name,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def _action(name: str, **more: Any) -> dict[str, Any]:
    return {"action": name, "softwareAgent": _AGENT, **more}


def _add_source(builder: c2pa.Builder, source: Path) -> None:
    ingredient = {"title": source.name, "relationship": "parentOf", "instance_id": _PARENT, "label": _PARENT}
    with source.open("rb") as file:
        builder.add_ingredient(ingredient, source.suffix[1:].lower(), file)


def _algorithm(path: Path, pem: bytes) -> str:
    """Choose the signature algorithm for the type of key."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except (TypeError, ValueError) as error:
        reason = f"its private key cannot be read ({one_line(error)})"
        raise UsageError(f"{path}: {reason}; take off its password, if it has one.") from None
    if isinstance(key, EllipticCurvePrivateKey) and key.key_size in _CURVES:
        return _CURVES[key.key_size]
    for kind, name in ((Ed25519PrivateKey, "ed25519"), (RSAPrivateKey, "ps256")):
        if isinstance(key, kind):
            return name
    raise UsageError(f"{path}: a key of this kind signs no credentials; use an EC (P-256), Ed25519 or RSA key.")
