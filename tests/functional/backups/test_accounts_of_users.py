# SPDX-License-Identifier: Apache-2.0
"""Backups in the accounts of users in Swift, with the tokens of their requests."""

from __future__ import annotations

import dataclasses
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.conftest import require
from tests.functional.backups.backup_cloud import BackupCloud
from tests.functional.backups.conftest import running, shown
from tests.functional.cloud import PROJECT
from tests.servers import Broker, Servers, Swift, swift, until

CONTAINER = "volumebackups"


@dataclasses.dataclass(frozen=True)
class User:
    """A user with an account in Swift."""

    url: str
    token: str

    @classmethod
    def of(cls, server: Swift) -> User:
        headers = {"X-Auth-User": swift.USER, "X-Auth-Key": swift.KEY}
        with urllib.request.urlopen(
            urllib.request.Request(server.auth_url, headers=headers), timeout=60
        ) as answer:
            return cls(answer.headers["X-Storage-Url"], answer.headers["X-Storage-Token"])

    @property
    def wire(self) -> dict[str, Any]:
        """The keys of a request of the user."""
        endpoints = [{"region": "r", "publicURL": self.url}]
        catalog = [{"type": "object-store", "name": "swift", "endpoints": endpoints}]
        return {"auth_token": self.token, "service_catalog": catalog}

    def objects(self) -> list[str]:
        """List the objects of the user's backups."""
        request = urllib.request.Request(
            f"{self.url}/{CONTAINER}?format=json", headers={"X-Auth-Token": self.token}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return [one["name"] for one in json.load(answer)]

    def objects_of(self, backup: Record) -> list[str]:
        return [name for name in self.objects() if str(backup.id) in name]


@pytest.fixture(scope="module")
def user(servers: Servers) -> User:
    require(Swift)
    return User.of(servers.swift)


@pytest.fixture(scope="module")
def shared_cloud(
    user: User, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackupCloud]:
    options = {
        "backup_driver": "cinder.backup.drivers.swift.SwiftBackupDriver",
        # A kill leaves one part of a backup done: the volume has a GiB, mostly holes.
        "backup_swift_object_size": 32768 * 32 * 64,
        "backup_bandwidth_limit": 256,
        "backup_transfers": 1,
    }
    with running(broker, tmp_path_factory.mktemp("per-user"), **options) as cloud:
        cloud.request.update(user.wire)
        yield cloud


@pytest.fixture
def cloud(shared_cloud: BackupCloud, user: User) -> Iterator[BackupCloud]:
    shared_cloud.request.update(user.wire)
    yield from shown(shared_cloud)


def without_token(cloud: BackupCloud) -> None:
    cloud.request.update({"auth_token": None, "service_catalog": []})


def test_a_backup_lies_in_the_account_of_the_user(cloud: BackupCloud, user: User) -> None:
    volume = cloud.filled(71)
    backup = cloud.made(volume)
    assert backup.project_id == PROJECT
    assert backup.container == CONTAINER
    assert user.objects_of(backup)

    target = cloud.filled(72)
    cloud.restore(backup, target)
    cloud.wait_status(target, "available")
    assert cloud.same(volume, target)

    cloud.records.backups.update(backup.id, status="deleting")
    cloud.cast_backup("delete_backup", backup=cloud.records.backups.get(backup.id))
    cloud.wait_status(backup, "gone")
    assert user.objects_of(backup) == []


def test_without_a_token_nothing_is_begun(cloud: BackupCloud) -> None:
    volume = cloud.filled(73)
    without_token(cloud)
    row = cloud.wait_status(cloud.begin(volume), "error")

    assert row is not None and "the request has no token of a user" in row.fail_reason
    cloud.wait_status(volume, "available")
    assert row.container is None


def test_a_deletion_without_a_token_leaves_the_row_and_its_objects(
    cloud: BackupCloud, user: User
) -> None:
    backup = cloud.made(cloud.filled(74))
    without_token(cloud)
    cloud.records.backups.update(backup.id, status="deleting")
    cloud.cast_backup("delete_backup", backup=cloud.records.backups.get(backup.id))
    row = cloud.wait_status(backup, "error")

    assert row is not None and "the request has no token of a user" in row.fail_reason
    assert user.objects_of(backup)


def test_a_kill_ends_a_backup_and_its_user_deletes_the_rest(cloud: BackupCloud, user: User) -> None:
    volume = cloud.filled(75)
    backup = cloud.begin(volume)
    until(lambda: user.objects_of(backup), 60, "the first object")
    cloud.backup_service.kill()
    cloud.backup_service.start()
    row = cloud.wait_status(backup, "error")
    assert row is not None and "tokens are not stored" in row.fail_reason
    cloud.wait_status(volume, "available")

    cloud.records.backups.update(backup.id, status="deleting")
    cloud.cast_backup("delete_backup", backup=cloud.records.backups.get(backup.id))
    cloud.wait_status(backup, "gone")
    assert user.objects_of(backup) == []


def test_no_file_of_a_service_has_the_token(cloud: BackupCloud, user: User) -> None:
    backup = cloud.made(cloud.filled(76))
    assert user.objects_of(backup)

    directories = (cloud.service.directory, cloud.backup_service.directory)
    files = [path for place in directories for path in place.rglob("*") if path.is_file()]
    assert {"journal.sqlite", "log"} <= {path.name for path in files}
    assert [path for path in files if _has(path, user.token[4:20])] == []


def _has(path: Path, text: str) -> bool:
    return text.encode() in path.read_bytes()
