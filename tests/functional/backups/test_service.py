# SPDX-License-Identifier: Apache-2.0
"""The life of the backup service: its row, its reports, its processes, a store that is away."""

from __future__ import annotations

from pathlib import Path

from tests.functional.backups.backup_cloud import SERVICE, BackupCloud
from tests.functional.backups.conftest import running
from tests.functional.cloud import NODE, heard
from tests.servers import Broker, until


def told(cloud: BackupCloud, resource_id: str) -> list[str]:
    found = [m for m in cloud.records.messages.list() if m.resource_uuid == resource_id]
    return [m.event_id.removeprefix("VOLUME_VOLUME_BACKUP_") for m in found]


def test_it_has_a_row_of_its_own(cloud: BackupCloud) -> None:
    [row] = cloud.records.services.list(binary="cinder-backup")
    assert (row.host, row.topic, row.availability_zone) == (NODE, "cinder-backup", "nova")
    assert (row.rpc_current_version, row.object_current_version) == ("2.4", "1.39")
    before = row.report_count

    def beats() -> bool:
        [now] = cloud.records.services.list(binary="cinder-backup")
        return bool(now.report_count > before)

    until(beats, 60, "a heartbeat")


def test_a_fanout_is_answered_with_a_report(cloud: BackupCloud) -> None:
    with heard(cloud) as reports:
        fanout = cloud.backup_client("2.2").prepare(server=None, fanout=True)
        fanout.cast({}, "publish_service_capabilities")

        def ours() -> list[dict]:
            return [one for one in reports() if one["args"].get("service_name") == "backup"]

        until(ours, 60, "the report")
        message = ours()[-1]
    assert (message["method"], message["version"]) == ("update_service_capabilities", "3.3")
    args = message["args"]
    assert (args["host"], args["cluster_name"]) == (NODE, None)
    assert args["capabilities"] == {
        "backend_state": True,
        "driver_name": SERVICE,
        "availability_zone": "nova",
    }


def test_a_store_that_is_away_is_told_and_waited_for(broker: Broker, tmp_path: Path) -> None:
    place = tmp_path / "away" / "backups"
    place.parent.write_bytes(b"no directory")
    options = {"backup_posix_path": str(place), "backup_driver_init_check_interval": 5}
    with running(broker, tmp_path, **options) as cloud:
        volume = cloud.filled(61)
        backup = cloud.begin(volume)
        row = cloud.wait_status(backup, "error")
        assert row is not None and "backups cannot be kept" in row.fail_reason
        cloud.wait_status(volume, "available")
        assert told(cloud, backup.id) == ["013_018"]
        kept = cloud.backup(volume, "deleting", service=SERVICE)
        cloud.cast_backup("delete_backup", backup=kept)
        cloud.wait_status(kept, "error_deleting")
        assert told(cloud, kept.id) == ["014_018"]
        place.parent.unlink()
        cloud.backup_service.wait_for_log("the store of backups is up", 60)
        cloud.made(volume)


def test_several_processes_share_the_work(broker: Broker, tmp_path: Path) -> None:
    with running(broker, tmp_path, backup_workers=2) as cloud:
        assert len(cloud.backup_service.children()) >= 2
        volumes = [cloud.filled(seed) for seed in range(62, 66)]
        for backup in [cloud.begin(volume) for volume in volumes]:
            cloud.wait_status(backup, "available")
        for volume in volumes:
            assert cloud.status(volume) == "available"
