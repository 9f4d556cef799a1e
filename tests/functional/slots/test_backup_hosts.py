# SPDX-License-Identifier: Apache-2.0
"""Backups, restores and deletions of a dead backup host are finished by another one."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.conftest import empty_database
from tests.functional.service import services
from tests.functional.slots.backup_hosts import FIRST, SECOND, BackupHosts
from tests.servers import Broker, Servers, until

pytestmark = pytest.mark.lasts(30)


@pytest.fixture(scope="module")
def running(
    broker: Broker, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackupHosts]:
    directory = tmp_path_factory.mktemp("backup-hosts")
    journal = empty_database("mysql", servers, directory)
    database = f"sqlite:///{directory / 'cinder.sqlite'}"
    with services(directory, forked=True) as make:
        made = BackupHosts(make, broker.vhost(), database, journal, directory)
        made.start()
        yield made
        made.close()


@pytest.fixture
def hosts(running: BackupHosts) -> Iterator[BackupHosts]:
    """Both hosts; the ends of their logs are shown with a failure."""
    running.reset()
    both = (running.backup_service, running.second)
    positions = [one.position() for one in both]
    yield running
    for service, position in zip(both, positions, strict=True):
        sys.stdout.write(f"--- {service.directory.name}\n{service.text(position)}\n")


def test_a_backup_continues_after_its_last_checkpoint(hosts: BackupHosts) -> None:
    volume = hosts.large(1)
    backup = hosts.begin(volume)
    hosts.recorded(2)
    hosts.backup_service.kill()
    recorded = {name for entry in hosts.recorded(2) for one in entry["objects"] for name in one}
    before = {name: path.stat() for name, path in hosts.objects().items() if name in recorded}
    assert len(before) == len(recorded) > 0
    row = hosts.wait_status(backup, "available")

    assert row is not None
    assert (row.host, row.temp_volume_id, row.temp_snapshot_id) == (SECOND, None, None)
    assert hosts.status(volume) == "available"
    after = {name: path.stat() for name, path in hosts.objects().items()}
    assert {name: after[name].st_ino for name in before} == {
        name: one.st_ino for name, one in before.items()
    }
    assert len(after) > len(before)
    assert hosts.remains() == []
    assert hosts.unfinished() == 0
    text = f"backup {backup.id} is on {SECOND} from now on"
    assert hosts.second.text().count(text) == 1

    target = hosts.filled(2)
    hosts.records.backups.update(backup.id, status="restoring", restore_volume_id=target.id)
    hosts.records.volumes.update(target.id, status="restoring-backup")
    arguments = {"volume_id": target.id, "volume_is_new": False}
    hosts.cast_to(SECOND, "restore_backup", backup=row, **arguments)
    hosts.wait_status(target, "available")
    assert hosts.same(volume, target)


def test_a_restore_continues_after_its_last_checkpoint(hosts: BackupHosts) -> None:
    volume = hosts.large(3)
    backup, target = hosts.made(volume), hosts.filled(4)
    hosts.restore(backup, target)
    hosts.recorded(2)
    hosts.backup_service.kill()
    recorded = {name for entry in hosts.recorded(2) for name in entry}
    assert recorded
    for name, path in hosts.objects().items():
        if name in recorded:  # one that is read again would be found damaged
            path.write_bytes(bytes(path.stat().st_size))
    hosts.wait_status(target, "available")

    row = hosts.wait_status(backup, "available")  # written after that of the volume
    assert row is not None
    assert row.host == SECOND
    assert hosts.same(volume, target)
    assert hosts.remains() == []


def test_a_deletion_is_finished(hosts: BackupHosts) -> None:
    backup = hosts.made(hosts.large(5))
    mine = [path for path in hosts.objects().values() if backup.id in path.name]
    hosts.hold.touch()
    hosts.records.backups.update(backup.id, status="deleting")
    hosts.cast_to(FIRST, "delete_backup", backup=hosts.records.backups.get(backup.id))
    until(lambda: any(not path.exists() for path in mine), 30, "a deleted object")
    hosts.backup_service.kill()
    assert any(path.exists() for path in mine)
    until(lambda: hosts.records.backups.find(backup.id).deleted, 30, "the end of the deletion")

    assert not any(path.exists() for path in mine)
    assert not mine[0].parent.exists()
    assert hosts.records.backups.find(backup.id).host == SECOND
