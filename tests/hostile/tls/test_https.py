# SPDX-License-Identifier: Apache-2.0
"""S3, Swift, Glance, Keystone and Nova with certificates of each kind.

No client of these has a list of revoked certificates: requests and botocore take none.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from drivers.backup.s3 import S3Driver
from drivers.backup.swift import SwiftDriver
from drivers.compute.nova import Nova
from drivers.image.glance import GlanceImages
from drivers.interface.errors import BackupDriverException, ComputeError, ImageCopyFailure
from tests.backups import Metadata, settings
from tests.hostile.tls import encrypted
from tests.hostile.tls.certificates import Certificates

WRONG = {
    "wrong-host": "(IP address mismatch, certificate is not valid for '127.0.0.1'"
    "|hostname '127.0.0.1' doesn't match '192.0.2.99')",
    "expired": "certificate has expired",
    "unknown-authority": "unable to get local issuer certificate",
}


@pytest.fixture(params=["right", *WRONG])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(certificates: Certificates, kind: str) -> Iterator[str]:
    with encrypted.cloud(certificates.server_context(kind)) as address:
        yield address


def refused(kind: str, option: str) -> str:
    """Return a pattern of the one line that an operator reads."""
    reason = f"the certificate of the server is refused: {WRONG[kind]}; check it, and {option}"
    return reason.replace("[", r"\[")


UNVERIFIED = {
    "s3": {"backup_s3_verify_ssl": False},
    "swift": {"backup_swift_auth_insecure": True},
}


def store(root: Path, name: str, url: str, authority: Path, **more: Any) -> Any:
    if name == "s3":
        options = {
            "backup_s3_endpoint_url": url,
            "backup_s3_store_access_key": "a",
            "backup_s3_store_secret_key": "b",
            "backup_s3_retry_max_attempts": 1,
            "backup_s3_timeout": 5.0,
            "backup_s3_ca_cert_file": str(authority),
            **more,
        }
        return S3Driver(settings(root, S3Driver, **options), metadata=Metadata())
    options = {
        "backup_swift_auth": "single_user",
        "backup_swift_auth_url": f"{url}/auth/v1.0",
        "backup_swift_auth_version": "1",
        "backup_swift_user": "a:b",
        "backup_swift_key": "k",
        "backup_swift_retry_attempts": 0,
        "backup_swift_ca_cert_file": str(authority),
        **more,
    }
    return SwiftDriver(settings(root, SwiftDriver, **options), metadata=Metadata())


@pytest.mark.parametrize("name", ["s3", "swift"])
def test_a_store_of_backups(
    tmp_path: Path, certificates: Certificates, kind: str, url: str, name: str
) -> None:
    driver = store(tmp_path, name, url, certificates.ca)
    if kind == "right":
        driver.check_for_setup_error()
        return
    with pytest.raises(BackupDriverException) as caught:
        driver.check_for_setup_error()

    text = str(caught.value)
    assert re.search(refused(kind, f"backup_{name}_ca_cert_file"), text)
    assert "\n" not in text


@pytest.mark.parametrize("name", UNVERIFIED)
@pytest.mark.parametrize("has_file", [True, False], ids=["file", "no-file"])
def test_a_store_that_is_not_verified_in_spite_of_a_file_of_authorities(
    tmp_path: Path, certificates: Certificates, url: str, name: str, has_file: bool
) -> None:
    authority = certificates.ca if has_file else tmp_path / "absent.pem"
    store(tmp_path, name, url, authority, **UNVERIFIED[name]).check_for_setup_error()


@pytest.mark.parametrize("account", [False, True], ids=["glance", "keystone"])
def test_the_image_service(
    certificates: Certificates,
    kind: str,
    url: str,
    account: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    conf = cfg.ConfigOpts()
    conf.register_opts(GlanceImages.OPTS)
    conf([], default_config_files=[])
    images = GlanceImages(conf)
    conf.set_override("glance_api_servers", [url])
    conf.set_override("glance_ca_certificates_file", str(certificates.ca))
    conf.set_override("glance_num_retries", 3)
    if account:
        _give_account(conf, "service_user", url)
    else:
        conf.set_override("auth_strategy", "noauth")
    if kind == "right":
        assert images.show(None, "an-id")["status"] == "active"
        return
    with pytest.raises(ImageCopyFailure) as caught:
        images.show(None, "an-id")

    text = str(caught.value)
    assert re.search(refused(kind, "glance_ca_certificates_file, or cafile in the section"), text)
    assert "\n" not in text
    assert len([one for one in caplog.records if one.name.startswith("drivers")]) <= 1


def test_the_compute_service(certificates: Certificates, kind: str, url: str) -> None:

    conf = cfg.ConfigOpts()
    conf.register_opts(Nova.OPTS, group="nova")
    conf([], default_config_files=[])
    _give_account(conf, "nova", url, cafile=str(certificates.ca))
    compute = Nova(conf)
    with pytest.raises(ComputeError) as caught:
        compute.swap_volume(None, "server", "volume", "copy")

    text = str(caught.value)
    if kind == "right":  # the catalogue has no Nova
        assert "certificate" not in text
    else:
        assert re.search(refused(kind, "[nova] cafile"), text)


def _give_account(conf: cfg.ConfigOpts, section: str, url: str, **more: str) -> None:
    from keystoneauth1 import loading

    loading.register_auth_conf_options(conf, section)
    loading.register_session_conf_options(conf, section)
    conf.set_override("auth_type", "v3password", group=section)
    conf.register_opts(loading.get_auth_plugin_conf_options("v3password"), group=section)
    known = {"auth_url": f"{url}/v3", "username": "u", "password": "p", "project_name": "p"}
    known |= {"user_domain_id": "default", "project_domain_id": "default"}
    for name, value in (known | more).items():
        conf.set_override(name, value, group=section)
