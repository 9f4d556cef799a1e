# SPDX-License-Identifier: Apache-2.0
"""Options of stores that ``cinder.conf`` files of the field set."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import swiftclient
from botocore.stub import Stubber
from oslo_config import cfg

from drivers.backup.posix import PosixDriver
from drivers.backup.s3 import S3Driver, S3Store
from drivers.backup.stores import swift_connection
from drivers.backup.stores.object_store import ContainerMissing
from drivers.backup.swift import SwiftDriver, SwiftStore
from drivers.interface.errors import BackupDriverException
from tests.backups import settings

S3 = {
    "backup_s3_endpoint_url": "http://127.0.0.1:1",
    "backup_s3_store_access_key": "k",
    "backup_s3_store_secret_key": "s",
}
SWIFT = {
    "backup_swift_auth": "single_user",
    "backup_swift_auth_url": "http://127.0.0.1:1/v3",
    "backup_swift_user": "u",
}


def s3(root: Path, **options: Any) -> S3Store:
    store = S3Driver(settings(root, S3Driver, **S3, **options))._store
    assert isinstance(store, S3Store)
    return store


class Swift:
    """A Swift without containers, which records how it was connected to."""

    def __init__(self, **how: Any) -> None:
        self.how = how
        self.made: list[str] = []

    def head_container(self, container: str) -> None:
        raise swiftclient.ClientException("absent", http_status=404)

    def put_container(self, container: str, **_: Any) -> None:
        self.made.append(container)

    def close(self) -> None: ...


def swift(root: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> SwiftStore:
    monkeypatch.setattr(swift_connection, "Connection", Swift)
    store = SwiftDriver(settings(root, SwiftDriver, **SWIFT, **options))._store
    assert isinstance(store, SwiftStore)
    return store


@pytest.mark.parametrize(
    ("options", "verify"),
    [
        ({}, True),
        ({"backup_s3_ca_cert_file": "/ca"}, "/ca"),
        ({"backup_s3_verify_ssl": False}, False),
        ({"backup_s3_verify_ssl": False, "backup_s3_ca_cert_file": "/ca"}, False),
    ],
)
def test_s3_verifies_unless_that_is_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], verify: Any
) -> None:
    made: dict[str, Any] = {}
    client = boto3.client
    monkeypatch.setattr(boto3, "client", lambda kind, **how: (made.update(how), client(kind))[1])
    s3(tmp_path, **options)

    assert made["verify"] == verify


def test_s3_sends_no_checksum_that_stores_refuse(tmp_path: Path) -> None:
    store, sent = s3(tmp_path), []

    def send(request: Any, **_: Any) -> Any:
        sent.append(request)
        return SimpleNamespace(status_code=200, headers={}, content=b"", raw=None)

    store._client.meta.events.register("before-send.s3", send)
    with store.writing("b", "o") as sink:
        sink.write(b"data")

    (request,) = sent
    names = {name.lower() for name in request.headers}
    assert "content-md5" in names
    assert not [name for name in names if "checksum" in name or "trailer" in name]
    assert b"aws-chunked" not in str(request.headers).encode()


@pytest.mark.parametrize("bucket", ["My_Bucket", "UPPER", "a_b", "ab", "x" * 100, "a..b"])
def test_the_store_decides_on_names_of_buckets(
    tmp_path: Path, row: SimpleNamespace, bucket: str
) -> None:
    store = s3(tmp_path, backup_s3_store_bucket=bucket)
    assert store.container(row) == bucket
    with Stubber(store._client) as answers:  # which checks the arguments as the library does
        answers.add_response("head_bucket", {}, {"Bucket": bucket})
        store.prepare(bucket)


@pytest.mark.parametrize("bucket", ["..", ".", "a/b", "a b", "a?b", "x" * 256, "\u00e9"])
def test_names_that_would_change_the_address_are_refused(
    tmp_path: Path, row: SimpleNamespace, bucket: str
) -> None:
    with pytest.raises(BackupDriverException, match="no name of a bucket"):
        s3(tmp_path, backup_s3_store_bucket=bucket).container(row)


@pytest.fixture
def row() -> SimpleNamespace:
    """A backup without a container."""
    return SimpleNamespace(container=None, service_metadata=None)


def test_swift_is_asked_where_objects_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = swift(tmp_path, monkeypatch, backup_swift_url="http://192.0.2.1:8080/v1/AUTH_")

    with store._connected() as connection:
        assert "preauthurl" not in connection.how


@pytest.mark.parametrize("version", ["1", "1.0", "2", "2.0", "3", "3.0"])
def test_versions_of_logins_are_those_of_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    conf = cfg.ConfigOpts()
    conf.register_opts(SwiftDriver.OPTS)
    file = tmp_path / "cinder.conf"
    file.write_text(f"[DEFAULT]\nbackup_swift_auth_version = {version}\n")
    conf([f"--config-file={file}"], default_config_files=[])
    read = conf.backup_swift_auth_version
    store = swift(tmp_path, monkeypatch, backup_swift_auth_version=read)

    with store._connected() as connection:
        assert connection.how["auth_version"] == version
    library = swiftclient.client
    known = (library.AUTH_VERSIONS_V1, library.AUTH_VERSIONS_V2, library.AUTH_VERSIONS_V3)
    assert version in [one for versions in known for one in versions]


@pytest.mark.parametrize("option", ["backup_swift_auth_url", "backup_swift_user"])
def test_swift_names_what_its_login_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setitem(SWIFT, option, "")
    with pytest.raises(BackupDriverException, match=f"{option} is not set"):
        swift(tmp_path, monkeypatch)


def test_s3_names_an_address_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(S3, "backup_s3_endpoint_url", "nonsense")
    with pytest.raises(BackupDriverException, match="backup_s3_endpoint_url = nonsense cannot be"):
        s3(tmp_path)


class TestCreationOfContainers:
    @pytest.mark.parametrize("create", [True, False])
    def test_swift(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, create: bool) -> None:
        store = swift(tmp_path, monkeypatch, backup_create_containers=create)
        if create:
            store.prepare("c")
        else:
            with pytest.raises(ContainerMissing, match="container c is missing"):
                store.prepare("c")
        with store._connected() as connection:
            assert connection.made == (["c"] if create else [])

    def test_s3(self, tmp_path: Path) -> None:
        store = s3(tmp_path, backup_create_containers=False)
        with Stubber(store._client) as answers:
            answers.add_client_error("head_bucket", "404")
            with pytest.raises(ContainerMissing, match="container c is missing"):
                store.prepare("c")
            answers.assert_no_pending_responses()

    def test_a_directory(self, tmp_path: Path) -> None:
        driver = PosixDriver(settings(tmp_path, backup_create_containers=False))
        driver.check_for_setup_error()
        with pytest.raises(ContainerMissing, match="container c is missing"):
            driver._store.prepare("c")
        assert not (tmp_path / "store/c").exists()

        (tmp_path / "store/c").mkdir()
        driver._store.prepare("c")

    def test_a_missing_default_does_not_prevent_backups_in_others(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = s3(tmp_path, backup_create_containers=False)
        caplog.set_level(logging.WARNING)
        with Stubber(store._client) as answers:
            answers.add_client_error("head_bucket", "404")
            store.check()

        assert "backups that name no container fail" in caplog.text
