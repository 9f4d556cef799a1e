# SPDX-License-Identifier: Apache-2.0
"""Signatures of images, and the certificates in Barbican that they are compared with."""

from __future__ import annotations

import base64
import datetime
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.x509.oid import NameOID
from oslo_config import cfg

from drivers import keystone
from drivers.encryption import barbican
from drivers.image.directory import DirectoryImages
from drivers.image.image_transfer import ImageTransport
from drivers.image.qemu_img import ConversionLimits
from drivers.image.verification import certificates
from drivers.image.verification.certificates import Certificates
from drivers.image.verification.signature import CertificateCheck, SignedImages
from drivers.interface.errors import ImageSignatureVerificationException
from drivers.interface.pace import Pace
from tests.scripted.glance_server import Answer, Request, serving
from tests.servers.keystone import Keystone

MIB = 1024**2
DATA = b"disk" * 1000
ID = "125e6199-2de4-46e3-b091-8e2401ef0d63"
_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER
_KEYS = {
    "RSA-PSS": lambda: rsa.generate_private_key(65537, 2048),
    "DSA": lambda: dsa.generate_private_key(1024),
    "ECC_SECP384R1": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ECC_SECP521R1": lambda: ec.generate_private_key(ec.SECP521R1()),
}


class Signer:
    """A key with its certificate, which has expired long ago, as Cinder allows."""

    def __init__(self, kind: str) -> None:
        self.kind, self.key = kind, _KEYS[kind]()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
        begin = datetime.datetime(2001, 1, 1)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name)
        made = made.public_key(self.key.public_key()).serial_number(7)
        made = made.not_valid_before(begin).not_valid_after(begin + datetime.timedelta(1))
        self.certificate = made.sign(self.key, hashes.SHA256())

    def properties(self, data: bytes, name: str = "SHA-256") -> dict[str, str]:
        """Sign data; return the properties of its image."""
        algorithm = getattr(hashes, name.replace("-", ""))()
        how: list[Any] = [algorithm]
        if self.kind == "RSA-PSS":
            pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.MAX_LENGTH)
            how.insert(0, pss)
        elif self.kind != "DSA":
            how = [ec.ECDSA(algorithm)]
        return {
            "img_signature": base64.b64encode(self.key.sign(data, *how)).decode(),
            "img_signature_hash_method": name,
            "img_signature_key_type": self.kind,
            "img_signature_certificate_uuid": ID,
        }


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer("ECC_SECP384R1")


def check(signer: Signer, properties: dict[str, str], encoding: Any = _PEM) -> CertificateCheck:
    return CertificateCheck("image i1", properties, signer.certificate.public_bytes(encoding))


class TestCheck:
    @pytest.mark.parametrize("kind", _KEYS)
    @pytest.mark.parametrize("encoding", [_PEM, _DER])
    def test_a_right_signature_and_a_wrong_one(self, kind: str, encoding: Any) -> None:
        signer = Signer(kind)
        right = check(signer, signer.properties(DATA), encoding)
        wrong = check(signer, signer.properties(DATA), encoding)
        right.update(DATA[:100])
        right.update(DATA[100:])
        right.finish()
        right.require_right()

        wrong.update(DATA[:-1])
        with pytest.raises(ImageSignatureVerificationException, match="not that of the data"):
            wrong.finish()
        with pytest.raises(ImageSignatureVerificationException, match="not verified to the end"):
            wrong.require_right()

    def test_a_signature_in_several_lines(self, signer: Signer) -> None:
        known = signer.properties(DATA)
        lines = base64.encodebytes(base64.b64decode(known["img_signature"])).decode()
        assert "\n" in lines.strip()

        made = check(signer, {**known, "img_signature": f" {lines} "})
        made.update(DATA)
        made.finish()

    @pytest.mark.parametrize("name", ["SHA-224", "SHA-384", "SHA-512"])
    def test_each_hash(self, signer: Signer, name: str) -> None:
        made = check(signer, signer.properties(DATA, name))
        made.update(DATA)
        made.finish()

    @pytest.mark.parametrize(
        ("known", "match"),
        [
            ({"img_signature": "not base64!"}, "base64"),
            ({"img_signature_hash_method": "MD5"}, "hash MD5 is not known"),
            ({"img_signature_key_type": "RSA-PSS"}, "no key of the type RSA-PSS"),
            ({"img_signature_key_type": "ECC_SECP521R1"}, "no key of the type"),
            ({"img_signature_key_type": "x" * 9999}, "no key of the type"),
        ],
    )
    def test_properties_of_no_use(self, signer: Signer, known: Any, match: str) -> None:
        with pytest.raises(ImageSignatureVerificationException, match=match):
            check(signer, {**signer.properties(DATA), **known})

    @pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP192R1])
    def test_a_curve_that_cinder_does_not_know(self, curve: Any, monkeypatch: Any) -> None:
        kind = f"ECC_{curve.name.upper()}"
        monkeypatch.setitem(_KEYS, kind, lambda: ec.generate_private_key(curve()))
        signer = Signer(kind)
        with pytest.raises(ImageSignatureVerificationException, match="no key of the type"):
            check(signer, signer.properties(DATA))

    @pytest.mark.parametrize("data", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nx"])
    def test_a_certificate_that_is_none(self, signer: Signer, data: bytes) -> None:
        with pytest.raises(
            ImageSignatureVerificationException, match="its certificate cannot be read"
        ):
            CertificateCheck("image i1", signer.properties(DATA), data)


class TestDownload:
    @pytest.fixture
    def images(self, tmp_path: Path) -> DirectoryImages:
        return DirectoryImages(SimpleNamespace(image_directory=str(tmp_path / "images")))

    def fetch(self, images: Any, signer: Signer, tmp_path: Path, signed: bytes) -> bytes:
        """Write an image into a volume by the worker; return the volume's data."""
        found = SimpleNamespace(read=lambda *_: signer.certificate.public_bytes(_PEM))
        limits, path = ConversionLimits(), tmp_path / "volume"
        transport = ImageTransport(images, tmp_path / "aside", limits, certificates=found)  # type: ignore[arg-type]
        known = {"disk_format": "raw", "properties": signer.properties(signed)}
        image = images.create(None, known, io.BytesIO(DATA))
        made = transport.signature_check(image)
        path.write_bytes(bytes(MIB))
        with path.open("r+b", buffering=0) as file:
            transport.fetch(None, image, file, MIB, "v1", Pace(), made)
        made.require_right()
        return path.read_bytes()

    def test_by_the_worker(self, images: Any, signer: Signer, tmp_path: Path) -> None:
        assert self.fetch(images, signer, tmp_path, DATA).startswith(DATA)
        with pytest.raises(ImageSignatureVerificationException):
            self.fetch(images, signer, tmp_path, b"other data")
        assert (tmp_path / "volume").read_bytes() == bytes(MIB)

    def test_by_a_driver(self, images: Any, signer: Signer) -> None:
        image = images.create(None, {"disk_format": "raw"}, io.BytesIO(DATA))
        file = io.BytesIO()
        right = check(signer, signer.properties(DATA))
        SignedImages(images, right).download(None, image["id"], file)
        right.require_right()
        assert file.getvalue() == DATA

        wrong = SignedImages(images, check(signer, signer.properties(b"other")))
        with pytest.raises(ImageSignatureVerificationException):
            wrong.download(None, image["id"], file)


class TestBarbican:
    @pytest.fixture(autouse=True)
    def without_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(certificates.tenacity, "wait_incrementing", lambda **_: None)

    def read(
        self,
        play: Callable[[Request], Answer],
        certificate_id: str = ID,
        address: str | None = None,
    ) -> tuple[bytes, Any]:
        """Read a certificate; return it and the requests to Barbican."""
        with serving(play) as server:
            address = address or f"http://{server.place}"
            keystone = Keystone({"key-manager": address}, "secret")
            try:
                conf = _conf(keystone.url)
                return Certificates(conf).read(certificate_id, "image i1"), server.requests
            finally:
                keystone.shutdown()
                keystone.server_close()

    def test_the_payload_is_asked_for_in_its_own_type(self) -> None:
        data, requests = self.read(_barbican)

        assert data == b"certificate"
        assert [one.path for one in requests] == [f"/v1/secrets/{ID}", f"/v1/secrets/{ID}/payload"]
        assert requests[1].headers["Accept"] == "text/plain"
        assert requests[1].headers["X-Auth-Token"]

    @pytest.mark.parametrize(
        "outage", [(503, {}, [b"x"]), (429, {}, []), (200, {"Content-Length": "9"}, [b"{"])]
    )
    def test_an_outage_is_waited_for(self, outage: Answer) -> None:
        answers: Iterator[Answer] = iter([outage, (200, {}, [b"{}"]), (200, {}, [b"c"])])

        assert self.read(lambda _: next(answers))[0] == b"c"

    def test_a_server_that_does_not_run_is_tried_several_times(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tries = []
        read = Certificates._read
        monkeypatch.setattr(Certificates, "_read", lambda *args: (tries.append(1), read(*args))[1])
        with pytest.raises(ImageSignatureVerificationException, match="ConnectFailure"):
            self.read(lambda _: pytest.fail("it runs"), address="http://127.0.0.1:9")
        assert len(tries) == certificates._ATTEMPTS

    def test_a_certificate_that_this_account_may_not_read(self) -> None:
        with pytest.raises(ImageSignatureVerificationException, match="403: .* acl user add"):
            self.read(lambda _: (403, {}, []))

    @pytest.mark.parametrize(
        ("code", "body"),
        [(401, b""), (403, b""), (404, b""), (503, b""), (200, b"["), (200, b"[]")],
    )
    def test_a_refusal_has_its_reason(self, code: int, body: bytes) -> None:
        text = f"certificate {ID} of image i1 cannot be read"
        with pytest.raises(ImageSignatureVerificationException, match=text):
            self.read(lambda _: (code, {}, [body]))

    @pytest.mark.parametrize("certificate_id", ["", "../../v1/secrets", "x" * 9999, None])
    def test_an_id_that_is_none_is_not_asked_for(self, certificate_id: Any) -> None:
        with pytest.raises(ImageSignatureVerificationException, match="no id of a secret"):
            self.read(lambda _: pytest.fail("it was asked for"), certificate_id)

    def test_without_an_account_the_section_is_named(self) -> None:
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[])

        with pytest.raises(ImageSignatureVerificationException, match="barbican_service_user"):
            Certificates(conf).read(ID, "image i1")


def _barbican(request: Request) -> Answer:
    if request.path.endswith("/payload"):
        return 200, {"Content-Type": "text/plain"}, [b"certificate"]
    return 200, {}, [json.dumps({"content_types": {"default": "text/plain"}}).encode()]


def _conf(url: str) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    barbican.account(conf)
    group = "barbican_service_user"
    conf.set_override("auth_type", "password", group=group)
    conf.register_opts(
        keystone.library().loading.get_auth_plugin_conf_options("password"),
        group=group,
    )
    known = {"auth_url": url, "username": "holdfast", "password": "secret", "project_name": "p"}
    for name, value in {**known, "user_domain_id": "d", "project_domain_id": "d"}.items():
        conf.set_override(name, value, group=group)
    return conf
