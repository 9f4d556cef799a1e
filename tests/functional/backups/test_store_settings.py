# SPDX-License-Identifier: Apache-2.0
"""Settings of stores from ``cinder.conf`` files of the field, before real stores.

A file is read as the service reads it, and the driver that it names keeps a backup.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.errors import BackupDriverException
from tests.backups import MIB, Metadata, Rows, scribble
from tests.conftest import require
from tests.functional.backups.s3.failing_proxy import Faulty, Handler
from tests.functional.backups.test_accounts_of_users import User
from tests.servers import S3, Servers, Swift, swift
from tests.servers.keystone import Keystone
from worker import conf as config
from worker.conf.option_groups import backup as options

SIZE = 3 * MIB

S3_DRIVER = "cinder.backup.drivers.s3.S3BackupDriver"
SWIFT_DRIVER = "cinder.backup.drivers.swift.SwiftBackupDriver"

Kept = Callable[..., Any]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Keep a backup with the settings of a file, and restore it; return its row."""

    def keep(**settings: Any) -> Any:
        settings |= {"state_path": tmp_path, "backup_work_path": tmp_path / "work"}
        lines = [f"{name} = {value}" for name, value in settings.items()]
        file = tmp_path / "cinder.conf"
        file.write_text("\n".join(["[DEFAULT]", *lines, ""]))
        conf = config.load(["--config-file", str(file)], prog="holdfast-backup")
        driver_class, _services = options.driver_class(conf)
        driver = driver_class(options.Settings(conf), metadata=Metadata())
        driver.check_for_setup_error()
        volume, target, rows = tmp_path / "volume", tmp_path / "target", Rows()
        scribble(volume, random.Random(16), SIZE)
        target.write_bytes(os.urandom(SIZE))
        row = rows.new()
        rows.back_up(driver, row, volume)
        rows.restore(driver, row, target)
        assert target.read_bytes() == volume.read_bytes()
        return row

    return keep


@pytest.fixture
def s3(servers: Servers) -> dict[str, Any]:
    require(S3)
    return {
        "backup_driver": S3_DRIVER,
        "backup_s3_endpoint_url": servers.s3.url,
        "backup_s3_store_access_key": "S3RVER",
        "backup_s3_store_secret_key": "S3RVER",
        "backup_s3_retry_max_attempts": 1,
    }


@pytest.mark.parametrize("bucket", ["Volumes_of_Cinder", "VOLUMEBACKUPS"])
def test_a_bucket_has_any_name_that_the_store_takes(
    kept: Kept, s3: dict[str, Any], servers: Servers, bucket: str
) -> None:
    with pytest.raises(BackupDriverException, match="InvalidBucketName") as refused:
        kept(**s3, backup_s3_store_bucket=bucket)  # this one makes no such bucket
    assert "\n" not in str(refused.value)

    (servers.s3.objects / bucket).mkdir()  # but another program may have made it
    row = kept(**s3, backup_s3_store_bucket=bucket)
    assert row["container"] == bucket
    assert any(row["id"] in path.name for path in (servers.s3.objects / bucket).rglob("*"))


class _WithoutTrailers(Handler):
    """A store that knows no checksums but MD5, as many behind a name of S3."""

    refused: list[str]

    def do_PUT(self) -> None:
        names = {name.lower(): value for name, value in self.headers.items()}
        newer = [name for name in names if "checksum" in name or "trailer" in name]
        if newer or "aws-chunked" in names.get("content-encoding", ""):
            self.refused.append(self.path)
            self.close_connection = True
            self.answer(501, {}, b"")
        else:
            self.serve()


@contextlib.contextmanager
def _without_trailers(port: int) -> Iterator[tuple[str, list[str]]]:
    """Give the address of such a store, and the paths of requests that it has refused."""
    handler = type("Handler", (_WithoutTrailers,), {"refused": []})
    server = Faulty(port, handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.url, handler.refused
    finally:
        server.shutdown()
        server.server_close()


def test_a_store_that_refuses_newer_checksums(
    kept: Kept, s3: dict[str, Any], servers: Servers
) -> None:
    with _without_trailers(servers.s3.port) as (url, refused):
        kept(**{**s3, "backup_s3_endpoint_url": url})

    assert refused == []


@pytest.fixture
def of_one_user() -> dict[str, Any]:
    require(Swift)
    return {
        "backup_driver": SWIFT_DRIVER,
        "backup_swift_auth": "single_user",
        "backup_swift_key": swift.KEY,
        "backup_swift_retry_attempts": 1,
    }


def test_the_address_of_users_is_of_no_account_beside_that_of_one_user(
    kept: Kept, of_one_user: dict[str, Any], servers: Servers
) -> None:
    """Cinder, too, reads ``backup_swift_url`` for the accounts of users only."""
    row = kept(
        **of_one_user,
        backup_swift_url="http://127.0.0.1:1/v1/AUTH_",
        backup_swift_auth_url=servers.swift.auth_url,
        backup_swift_user=swift.USER,
    )

    assert any(row["id"] in name for name in User.of(servers.swift).objects())


@pytest.mark.parametrize("path", ["", "/v{}"], ids=["server", "version"])
@pytest.mark.parametrize("version", ["2", "2.0", "3", "3.0"])
def test_versions_of_keystone(
    kept: Kept, of_one_user: dict[str, Any], servers: Servers, version: str, path: str
) -> None:
    user = User.of(servers.swift)
    keystone = Keystone({"object-store": user.url}, swift.KEY, user.token)
    named = "2.0" if version.startswith("2") else "3"
    try:
        row = kept(
            **of_one_user,
            backup_swift_auth_url=keystone.root + path.format(named),
            backup_swift_auth_version=version,
            backup_swift_user="holdfast",
            backup_swift_tenant="service",
        )
    finally:
        keystone.shutdown()
        keystone.server_close()

    assert set(keystone.asked) == {"holdfast"}
    assert any(row["id"] in name for name in user.objects())
