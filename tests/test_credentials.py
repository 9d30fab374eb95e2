"""Content credentials: valid to C2PA's own library, without a change to pixels and record."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegen.credentials import read_identity, sign
from facegen.errors import FileError, UsageError
from facegen.media.images import picture_text, read_image, write_image
from facegen.media.signatures import omitted_from
from tests.cli.conftest import contents
from tests.media.test_images import scene

c2pa = pytest.importorskip("c2pa")
pytest.importorskip("cryptography")
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: E402

PEM = serialization.Encoding.PEM
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def certificate(name: str, key: Any, issuer: str, issuers_key: Any) -> x509.Certificate:
    """A certificate to sign media with; of an authority if it is its own issuer."""
    ca, now = name == issuer, datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(USAGES, False) | {"key_cert_sign" if ca else "digital_signature": True}
    subject, issuers_name = (
        x509.Name([x509.NameAttribute(kind, one) for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)])
        for one in (name, issuer)
    )
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuers_name)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
    issuers_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuers_key.public_key())
    builder = builder.add_extension(issuers_id, critical=False)
    if not ca:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, critical=False)
    return builder.sign(issuers_key, hashes.SHA256())


def save_identity(path: Path, key: Any) -> Path:
    """Write key, certificate and that of a made-up authority."""
    root = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = (certificate("me", key, "authority", root), certificate("authority", root, "authority", root))
    path.write_bytes(private + b"".join(one.public_bytes(PEM) for one in chain))
    return path


def save_usual_identity(folder: Path) -> Path:
    return save_identity(folder / "me.pem", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_usual_identity(tmp_path_factory.mktemp("me"))


def manifests(path: Path) -> tuple[str, list[dict[str, Any]]]:
    """Whether the signature holds, and what was signed, the newest first."""
    found = json.loads(c2pa.Reader(str(path)).json())
    active = found["active_manifest"]
    others = [manifest for name, manifest in found["manifests"].items() if name != active]
    return found["validation_state"], [found["manifests"][active], *others]


def actions(manifest: dict[str, Any]) -> list[str]:
    [made] = [one for one in manifest["assertions"] if one["label"].startswith("c2pa.actions")]
    return [action["action"] for action in made["data"]["actions"]]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_pixels_and_text_stay(tmp_path: Path, identity: Path, suffix: str) -> None:
    picture = write_image(tmp_path / f"a{suffix}", scene(), text={"facegen": "sample"})
    before = read_image(picture).rgb
    sign(picture, read_identity(identity), None)
    np.testing.assert_array_equal(read_image(picture).rgb, before)
    assert picture_text(picture) == {"facegen": "sample"}
    state, [manifest] = manifests(picture)
    assert state == "Valid"
    assert actions(manifest) == ["c2pa.created"]
    assert "thumbnail" not in manifest
    assert omitted_from(picture) == ["content credentials"]


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: ec.generate_private_key(ec.SECP384R1()), "Es384"),
        (ed25519.Ed25519PrivateKey.generate, "Ed25519"),
        (lambda: rsa.generate_private_key(65537, 2048), "Ps256"),
    ],
)
def test_other_kinds_of_keys(tmp_path: Path, make: Any, algorithm: str) -> None:
    picture = write_image(tmp_path / "a.png", scene())
    sign(picture, read_identity(save_identity(tmp_path / "me.pem", make())), None)
    state, [manifest] = manifests(picture)
    assert (state, manifest["signature_info"]["alg"]) == ("Valid", algorithm)


def test_what_cannot_be_signed_stays_as_it_is(tmp_path: Path, identity: Path) -> None:
    """A kind of file that holds no credentials; a certificate that is another key's."""
    picture = write_image(tmp_path / "own.png", scene())
    (tmp_path / "odd.bmp").write_bytes(b"BM")
    before = contents(tmp_path)
    wrong = replace(read_identity(identity), algorithm="ed25519")
    for path, signer in ((tmp_path / "odd.bmp", read_identity(identity)), (picture, wrong)):
        with pytest.raises(FileError, match=f"{path.name}: cannot be signed"):
            sign(path, signer, None)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pem: b"", "expected a PEM file with a private key and its certificates"),
        (lambda pem: pem[: pem.index(b"-----BEGIN CERT")], "expected a PEM file with a private key"),
        (lambda pem: pem.replace(b"KEY-----\nM", b"KEY-----\nA", 1), "its private key cannot be read"),
    ],
)
def test_identities_that_are_none(tmp_path: Path, identity: Path, change: Any, message: str) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(change(identity.read_bytes()))
    with pytest.raises(UsageError, match=message):
        read_identity(other)
    with pytest.raises(UsageError, match="cannot be read"):
        read_identity(tmp_path / "nowhere.pem")
