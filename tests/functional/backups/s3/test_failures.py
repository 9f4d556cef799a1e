# SPDX-License-Identifier: Apache-2.0
"""A store that fails in the middle of a transfer: final statuses and messages."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from drivers.interface.records import Record
from tests.conftest import require
from tests.functional.backups.backup_cloud import BackupCloud
from tests.functional.backups.conftest import running, shown
from tests.functional.backups.s3.failing_proxy import Faulty, Trouble
from tests.functional.backups.s3.test_s3 import options
from tests.servers import S3, Broker, Servers, until

HOW = {"500": "(500)", "hang": "ReadTimeout", "lose": "is missing"}
"""The name of the cause."""

_BUCKET = "failures"


@pytest.fixture(scope="module")
def way(servers: Servers) -> Iterator[Faulty]:
    require(S3)
    server = Faulty(servers.s3.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.healed.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def shared_cloud(
    way: Faulty, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackupCloud]:
    changes = {"backup_s3_timeout": 2.0, "backup_s3_store_bucket": _BUCKET}
    more = {"backup_driver": "s3", "backup_transfers": 2, **options(way.url, **changes)}
    with running(broker, tmp_path_factory.mktemp("failures"), **more) as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud: BackupCloud) -> Iterator[BackupCloud]:
    yield from shown(shared_cloud)


def comes_back(cloud: BackupCloud, backup: Record, wanted: Record, seed: int) -> bool:
    """Restore a backup, and compare."""
    target = cloud.filled(seed)
    cloud.restore(backup, target)
    cloud.wait_status(target, "available")
    cloud.wait_status(backup, "available")
    return cloud.same(wanted, target)


def told(cloud: BackupCloud, backup: Record) -> list[str]:
    return [m.event_id for m in cloud.records.messages.list() if m.resource_uuid == backup.id]


@pytest.mark.parametrize("how", HOW)
def test_while_a_backup_is_made(cloud: BackupCloud, way: Faulty, how: str) -> None:
    volume = cloud.filled(60)
    good = cloud.made(volume)
    with way.troubled(Trouble("PUT", how)):
        backup = cloud.begin(volume)
        row = cloud.wait_status(backup, "error")

    after = cloud.records.volumes.get(volume.id)
    assert row is not None and HOW[how] in row.fail_reason
    assert f"_backup_{backup.id}-0000" in row.fail_reason
    assert told(cloud, backup) == ["VOLUME_VOLUME_BACKUP_013_020"]
    assert (after.status, after.previous_status) == ("available", "error_backing-up")
    assert comes_back(cloud, good, volume, 61)


@pytest.mark.parametrize("how", HOW)
def test_while_a_backup_is_restored(cloud: BackupCloud, way: Faulty, how: str) -> None:
    volume = cloud.filled(62)
    good = cloud.made(volume)
    target = cloud.filled(63)
    position = cloud.backup_service.position()
    with way.troubled(Trouble("GET", how)):
        cloud.restore(good, target)
        cloud.wait_status(target, "error_restoring")
        cloud.wait_status(good, "available")

    def logged() -> bool:
        lines = cloud.backup_service.text(position).splitlines()
        failed = [line for line in lines if f"restore_backup of backup {good.id} failed" in line]
        wanted = (f"_backup_{good.id}-0000", HOW[how])
        return any(all(text in line for text in wanted) for line in failed)

    until(logged, 60, "the cause to be logged")
    assert told(cloud, good) == ["VOLUME_VOLUME_BACKUP_015_026"]
    assert comes_back(cloud, good, volume, 64)


def test_when_its_list_is_written(cloud: BackupCloud, way: Faulty) -> None:
    volume = cloud.filled(65)
    with way.troubled(Trouble("PUT", "500", after=0, name="_metadata$")):
        backup = cloud.begin(volume)
        row = cloud.wait_status(backup, "error")

    assert row is not None and f"_backup_{backup.id}_metadata" in row.fail_reason
    assert comes_back(cloud, cloud.made(volume), volume, 66)
