"""TLS contexts, and the certificate that names nobody."""

from __future__ import annotations

import datetime as dt
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ironmesh.errors import ConfigError
from ironmesh.transport import tls


def write_pair(folder: Path) -> tuple[Path, Path]:
    certificate, key = tls.make_self_signed()
    (folder / "cert.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)
    return folder / "cert.pem", folder / "key.pem"


def test_a_self_signed_certificate_names_nobody_and_two_differ() -> None:
    made = [x509.load_pem_x509_certificate(tls.make_self_signed()[0]) for _ in range(2)]
    assert [c.subject.rfc4514_string() for c in made] == ["CN=self-signed"] * 2
    assert not list(made[0].extensions)
    assert made[0].serial_number != made[1].serial_number
    assert made[0].public_key() != made[1].public_key()


def test_a_self_signed_certificate_is_valid_whatever_the_clock_says() -> None:
    certificate = x509.load_pem_x509_certificate(tls.make_self_signed()[0])
    assert certificate.not_valid_before_utc <= dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert certificate.not_valid_after_utc >= dt.datetime(2120, 1, 1, tzinfo=dt.UTC)
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)


def test_contexts_speak_tls_1_2_or_later(tmp_path: Path) -> None:
    for context in (tls.server_context(*write_pair(tmp_path)), tls.client_context()):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_COMPRESSION
    assert tls.client_context().verify_mode is ssl.CERT_NONE


def test_the_fingerprint_is_sha256_of_the_certificate() -> None:
    pem, _ = tls.make_self_signed()
    certificate = x509.load_pem_x509_certificate(pem)
    der = certificate.public_bytes(serialization.Encoding.DER)
    from cryptography.hazmat.primitives import hashes

    assert tls.fingerprint(der) == certificate.fingerprint(hashes.SHA256())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    certificate, _ = write_pair(tmp_path)
    with pytest.raises(ConfigError, match=r"nothing\.pem cannot be read"):
        tls.server_context(certificate, tmp_path / "nothing.pem")


def test_garbage_is_a_config_error_with_the_fix(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path)
    key.write_text("not a key")
    with pytest.raises(ConfigError, match="unencrypted PEM key"):
        tls.server_context(certificate, key)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path)
    key.write_bytes(tls.make_self_signed()[1])
    with pytest.raises(ConfigError, match="cannot be used"):
        tls.server_context(certificate, key)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path)
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a password"),
        )
    )
    with pytest.raises(ConfigError):
        tls.server_context(certificate, key)


def test_certificates_are_not_imported_before_one_is_made() -> None:
    code = "import sys, ironmesh.transport.tls; print('cryptography.x509' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_the_websocket_library_is_not_imported_before_it_is_used() -> None:
    code = "import sys, ironmesh.transport.websocket; print('websockets' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
