# SPDX-License-Identifier: Apache-2.0
"""Authorities and certificates of servers: a right one, and one for each fault."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KINDS = ("right", "wrong-host", "expired", "unknown-authority", "revoked")

_DAY = datetime.timedelta(days=1)


class Certificates:
    """A directory with an authority, its revocation list, and certificates for 127.0.0.1."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        self.ca, self.crl = place / "ca.pem", place / "crl.pem"
        authority = _Authority("the authority")
        stranger = _Authority("another authority")
        self.ca.write_bytes(authority.pem)
        for kind in KINDS:
            signer = stranger if kind == "unknown-authority" else authority
            address = "192.0.2.99" if kind == "wrong-host" else "127.0.0.1"
            self._write(kind, signer, address, expired=kind == "expired")
        self.crl.write_bytes(authority.revocation_list(self._read("revoked")))

    def certificate(self, kind: str) -> Path:
        """The file with a certificate."""
        return self.place / f"{kind}.pem"

    def key(self, kind: str) -> Path:
        """The file with its private key."""
        return self.place / f"{kind}-key.pem"

    def server_context(self, kind: str) -> ssl.SSLContext:
        """Return a context that shows a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate(kind), self.key(kind))
        return context

    def _write(self, kind: str, signer: _Authority, address: str, *, expired: bool) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.certificate(kind).write_bytes(signer.sign(kind, key, address, expired=expired))
        self.key(kind).write_bytes(_private(key))
        self.key(kind).chmod(0o600)

    def _read(self, kind: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate(kind).read_bytes())


class _Authority:
    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        public = self._key.public_key()
        made = (
            self._begun(self._name, public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = made.public_bytes(serialization.Encoding.PEM)

    def sign(
        self, name: str, key: ec.EllipticCurvePrivateKey, address: str, *, expired: bool
    ) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = (
            self._begun(subject, key.public_key(), expired=expired)
            .add_extension(alternative, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    def revocation_list(self, revoked: x509.Certificate) -> bytes:
        now = _now()
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(revoked.serial_number)
            .revocation_date(now - _DAY)
            .build()
        )
        made = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - _DAY)
            .next_update(now + _DAY)
            .add_revoked_certificate(entry)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    def _begun(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, expired: bool = False
    ) -> x509.CertificateBuilder:
        now = _now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * _DAY)
            .not_valid_after(now - _DAY if expired else now + _DAY)
        )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
