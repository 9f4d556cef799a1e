# SPDX-License-Identifier: Apache-2.0
"""Verify the signature of an image while its data is read, as Cinder's library cursive does.

The properties name the kind of key, the hash and the signature; the public key is that of the
certificate. Neither the dates nor the issuer of the certificate are looked at, as in Cinder.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, BinaryIO

from drivers.image.pieces import handed_over
from drivers.interface.errors import ImageSignatureVerificationException
from drivers.interface.image import ImageService, SignatureCheck

SIGNATURE, HASH, KEY_TYPE, CERTIFICATE = (
    "img_signature",
    "img_signature_hash_method",
    "img_signature_key_type",
    "img_signature_certificate_uuid",
)
"""Properties of a signed image."""

_HASHES = {"SHA-224": "sha224", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
_PRIMITIVES = "cryptography.hazmat.primitives"
_ASYMMETRIC = (f"{_PRIMITIVES}.asymmetric.{n}" for n in ("dsa", "ec", "padding", "rsa", "utils"))
_MODULES = ("cryptography.x509", f"{_PRIMITIVES}.hashes", *_ASYMMETRIC)

_RSA, _DSA, _ECC = "RSA-PSS", "DSA", "ECC_"

_CURVES = ("SECT571K1", "SECT409K1", "SECT571R1", "SECT409R1", "SECP521R1", "SECP384R1")
"""Curves that cursive knows; keys of shorter ones are refused."""


class CertificateCheck(SignatureCheck):
    """Compares the data of one image with its signature.

    :param label: names the image.
    :param properties: of the image.
    :param certificate: in PEM or DER.
    :raises ImageSignatureVerificationException: the properties or the certificate are no use.
    """

    def __init__(self, label: str, properties: Mapping[str, Any], certificate: bytes) -> None:
        self._label = label
        self._kind = str(properties[KEY_TYPE])
        name = _HASHES.get(str(properties[HASH]))
        if name is None:
            raise self._refusal(f"its hash {properties[HASH]!s:.40} is not known")
        text = "".join(str(properties[SIGNATURE]).split())  # base64 -w 76 breaks its lines
        try:
            self._signature = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise self._refusal("it is not in base64") from error
        self._key = self._public_key(certificate)
        self._name, self._hash = name, hashlib.new(name)
        self._is_right = False

    def update(self, data: bytes) -> None:
        """Take the next part of the data."""
        self._hash.update(data)

    def finish(self) -> None:
        """Verify the signature. :raises ImageSignatureVerificationException: it is wrong."""
        parts = _library()
        algorithm = getattr(parts.hashes, self._name.upper())()
        how: list[Any] = [parts.utils.Prehashed(algorithm)]
        if self._kind == _RSA:
            pss = parts.padding.PSS
            how.insert(0, pss(parts.padding.MGF1(algorithm), pss.MAX_LENGTH))
        elif self._kind.startswith(_ECC):
            how = [parts.ec.ECDSA(how[0])]
        try:
            self._key.verify(self._signature, self._hash.digest(), *how)
        except Exception as error:
            raise self._refusal("it is not that of the data") from error
        self._is_right = True

    def require_right(self) -> None:
        """Require that all data was read and has the signature.

        :raises ImageSignatureVerificationException: otherwise.
        """
        if not self._is_right:
            raise self._refusal("it was not verified to the end")

    def _public_key(self, certificate: bytes) -> Any:
        parts = _library()
        is_text = b"-----BEGIN" in certificate
        x509 = parts.x509
        load = x509.load_pem_x509_certificate if is_text else x509.load_der_x509_certificate
        try:
            key = load(certificate).public_key()
        except Exception as error:
            raise self._refusal("its certificate cannot be read") from error
        wanted = {
            _RSA: isinstance(key, parts.rsa.RSAPublicKey),
            _DSA: isinstance(key, parts.dsa.DSAPublicKey),
        }
        if isinstance(key, parts.ec.EllipticCurvePublicKey):
            curve = key.curve.name.upper()
            wanted[f"{_ECC}{curve}"] = curve in _CURVES
        if not wanted.get(self._kind):
            raise self._refusal(f"its certificate has no key of the type {self._kind:.40}")
        return key

    def _refusal(self, reason: str) -> ImageSignatureVerificationException:
        text = f"the signature of {self._label} cannot be accepted: {reason}"
        return ImageSignatureVerificationException(text)


class SignedImages:
    """An image service whose downloads are compared with the signature of their image.

    :param service: the image service.
    :param check: of the one image that is downloaded.
    """

    keeps_holes = False

    def __init__(self, service: ImageService, check: SignatureCheck) -> None:
        self._service = service
        self._check = check

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def download(
        self, context: Any, image_id: str, data: BinaryIO | None = None
    ) -> Iterator[bytes] | None:
        """Read the image. :raises ImageSignatureVerificationException: the signature is wrong."""
        return handed_over(self._chunks(context, image_id), data)

    def _chunks(self, context: Any, image_id: str) -> Iterator[bytes]:
        for chunk in self._service.download(context, image_id) or ():
            self._check.update(chunk)
            yield chunk
        self._check.finish()


def _library() -> Any:
    """Return the modules of cryptography, an optional library, which takes memory.

    :raises ImageSignatureVerificationException: it is not installed.
    """
    try:
        found = {path.rpartition(".")[2]: importlib.import_module(path) for path in _MODULES}
    except ImportError as error:
        text = "signatures of images need cryptography: pip install 'holdfast[signatures]'"
        raise ImageSignatureVerificationException(text) from error
    return SimpleNamespace(**found)
