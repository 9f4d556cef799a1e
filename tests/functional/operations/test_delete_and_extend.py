# SPDX-License-Identifier: Apache-2.0
"""delete_volume and extend_volume: spec/volume-rpc; seeds, VolumeDriverCore."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from tests.functional.cloud import PROJECT, Cloud
from worker.db import models


def use(cloud: Cloud, project: str, **amounts: int) -> None:
    """Write quota use of a project."""
    rows = [
        {
            "project_id": project,
            "resource": name,
            "in_use": amount,
            "reserved": 0,
            "deleted": False,
            "race_preventer": True,
        }
        for name, amount in amounts.items()
    ]
    cloud.database.write(lambda c: c.execute(sa.insert(models.quota_usages), rows))


def usage(cloud: Cloud, project: str) -> dict[str, tuple[int, int]]:
    """Return in_use and reserved by resource."""
    table = models.quota_usages
    wanted = sa.select(table).where(table.c.project_id == project)
    rows = cloud.database.read(lambda c: c.execute(wanted).all())
    return {row.resource: (row.in_use, row.reserved) for row in rows}


def reserve(cloud: Cloud, project: str, resource: str, delta: int) -> str:
    """Reserve quota as the API does before an extension."""
    usages, reservations = models.quota_usages, models.reservations
    key = str(uuid.uuid4())

    def work(connection: sa.Connection) -> None:
        of = (usages.c.project_id == project, usages.c.resource == resource)
        usage_id = connection.scalar(sa.select(usages.c.id).where(*of))
        connection.execute(sa.update(usages).where(*of).values(reserved=delta))
        row = {"uuid": key, "usage_id": usage_id, "project_id": project, "resource": resource}
        expire = datetime.datetime(2099, 1, 1)
        more = {"delta": delta, "expire": expire, "deleted": False}
        connection.execute(sa.insert(reservations), {**row, **more})

    cloud.database.write(work)
    return key


class TestDeleteVolume:
    def test_it_is_gone_with_its_quota(self, cloud: Cloud) -> None:
        project = uuid.uuid4().hex
        use(cloud, project, volumes=3, gigabytes=30, volumes___DEFAULT__=3)
        volume = cloud.existing("deleting", size=10, project_id=project)
        cloud.cast("delete_volume", volume=volume)
        cloud.wait_status(volume, "gone")
        cloud.wait_idle()

        assert volume.name not in cloud.script.objects()
        assert usage(cloud, project) == {
            "volumes": (2, 0),
            "gigabytes": (20, 0),
            "volumes___DEFAULT__": (2, 0),
        }

    def test_a_volume_that_the_backend_does_not_have_is_a_success(self, cloud: Cloud) -> None:
        volume = cloud.volume("deleting")
        cloud.cast("delete_volume", volume=volume)
        cloud.wait_status(volume, "gone")

    def test_the_export_goes_first(self, cloud: Cloud) -> None:
        volume = cloud.existing("deleting")
        cloud.cast("delete_volume", volume=volume)
        cloud.wait_status(volume, "gone")

        made = [c["method"] for c in cloud.script.calls() if c.get("id") == volume.id]
        assert made == ["remove_export", "delete_volume"]

    @pytest.mark.parametrize(
        ("plan", "args", "status"),
        [
            pytest.param({"delete_volume": {"raise": "VolumeIsBusy"}}, {}, "available", id="busy"),
            pytest.param(
                {"delete_volume": {"raise": "OSError"}}, {}, "error_deleting", id="failed"
            ),
            pytest.param(
                {"remove_export": {"raise": "OSError"}}, {}, "error_deleting", id="export-failed"
            ),
            pytest.param(
                {"unmanage": {"raise": "OSError"}},
                {"unmanage_only": True},
                "error_unmanaging",
                id="unmanage-failed",
            ),
            pytest.param(
                {}, {"unmanage_only": True, "cascade": True}, "error_unmanaging", id="both"
            ),
        ],
    )
    def test_failures(
        self, cloud: Cloud, plan: dict[str, Any], args: dict[str, Any], status: str
    ) -> None:
        volume = cloud.existing("deleting")
        cloud.script.plan(**plan)
        cloud.cast("delete_volume", volume=volume, **args)
        cloud.wait_status(volume, status)
        cloud.wait_idle()

        assert volume.name in cloud.script.objects()

    def test_an_attached_volume_is_refused(self, cloud: Cloud) -> None:
        volume = cloud.existing("deleting", attach_status="attached")
        cloud.cast("delete_volume", volume=volume)
        cloud.wait_status(volume, "error_deleting")

        assert volume.name in cloud.script.objects()

    def test_unmanaging_keeps_the_data(self, cloud: Cloud) -> None:
        volume = cloud.existing("unmanaging")
        cloud.cast("delete_volume", volume=volume, unmanage_only=True)
        cloud.wait_status(volume, "gone")

        assert volume.name in cloud.script.objects()

    def test_cascading_takes_the_snapshots_along(self, cloud: Cloud) -> None:
        volume = cloud.existing("deleting")
        snapshots = [cloud.existing_snapshot(volume, "deleting") for _ in range(2)]
        cloud.cast("delete_volume", volume=volume, cascade=True)
        cloud.wait_status(volume, "gone")

        assert [cloud.status(snapshot) for snapshot in snapshots] == ["gone", "gone"]
        assert not {s.name for s in snapshots} & cloud.script.objects()

    def test_cascading_stops_at_a_snapshot_that_stays(self, cloud: Cloud) -> None:
        volume = cloud.existing("deleting")
        snapshot = cloud.existing_snapshot(volume, "available")
        cloud.cast("delete_volume", volume=volume, cascade=True)
        cloud.wait_status(volume, "error_deleting")

        assert cloud.status(snapshot) == "available"
        assert {volume.name, snapshot.name} <= cloud.script.objects()

    def test_a_busy_snapshot_keeps_the_volume(self, cloud: Cloud) -> None:
        volume = cloud.existing("deleting")
        snapshot = cloud.existing_snapshot(volume, "deleting")
        cloud.script.plan(delete_snapshot={"raise": "SnapshotIsBusy"})
        cloud.cast("delete_volume", volume=volume, cascade=True)
        cloud.wait_status(volume, "available")

        assert cloud.status(snapshot) == "available"

    def test_a_migration_destination_that_fails_just_goes(self, cloud: Cloud) -> None:
        volume = cloud.existing("deleting", migration_status="target:abc")
        cloud.script.plan(delete_volume={"raise": "OSError"})
        cloud.cast("delete_volume", volume=volume)
        cloud.wait_status(volume, "gone")

    def test_another_backends_volume_is_refused(self, cloud: Cloud) -> None:
        volume = cloud.existing("deleting", host="h1@other#pool")
        cloud.cast("delete_volume", volume=volume)

        assert "is on h1@other#pool, not on" in cloud.wait_refused(volume)
        assert cloud.status(volume) == "deleting"
        assert volume.name in cloud.script.objects()


class TestExtendVolume:
    def test_size_and_quota_are_settled_together(self, cloud: Cloud) -> None:
        project = uuid.uuid4().hex
        use(cloud, project, gigabytes=10)
        held = reserve(cloud, project, "gigabytes", 4)
        volume = cloud.existing("extending", size=1, project_id=project)
        cloud.cast("extend_volume", volume=volume, new_size=5, reservations=[held])
        row = cloud.wait_status(volume, "available")

        assert row.size == 5
        assert usage(cloud, project) == {"gigabytes": (14, 0)}

    def test_an_attached_volume_stays_in_use(self, cloud: Cloud) -> None:
        volume = cloud.existing("extending", attach_status="attached")
        cloud.attachment(volume, "attached")
        cloud.cast("extend_volume", volume=volume, new_size=2, reservations=[])

        assert cloud.wait_status(volume, "in-use").size == 2

    def test_only_the_target_shows_the_old_size(self, cloud: Cloud) -> None:
        volume = cloud.existing("extending")
        cloud.script.plan(extend_volume={"raise": "TargetUpdateFailed"})
        cloud.cast("extend_volume", volume=volume, new_size=2, reservations=[])

        assert cloud.wait_status(volume, "available").size == 2

    @pytest.mark.parametrize(
        ("plan", "new_size"),
        [
            pytest.param({"raise": "VolumeBackendAPIException"}, 3, id="failed"),
            pytest.param({}, 1, id="not-larger"),
            pytest.param({}, 0, id="zero"),
            pytest.param({}, "3", id="no-number"),
        ],
    )
    def test_a_failure_gives_the_reservations_back(
        self, cloud: Cloud, plan: dict[str, Any], new_size: Any
    ) -> None:
        project = uuid.uuid4().hex
        use(cloud, project, gigabytes=10)
        held = reserve(cloud, project, "gigabytes", 4)
        volume = cloud.existing("extending", project_id=project)
        cloud.script.plan(extend_volume=plan)
        cloud.cast("extend_volume", volume=volume, new_size=new_size, reservations=[held])
        row = cloud.wait_status(volume, "error_extending")
        cloud.wait_idle()

        assert row.size == 1
        assert usage(cloud, project) == {"gigabytes": (10, 0)}
        told = [m.event_id for m in cloud.records.messages.list() if m.resource_uuid == volume.id]
        assert told == ["VOLUME_VOLUME_007_010"]

    @pytest.mark.parametrize(
        ("error", "status", "size"), [(False, "available", 4), (True, "error_extending", 1)]
    )
    def test_completion(self, cloud: Cloud, error: bool, status: str, size: int) -> None:
        volume = cloud.existing("extending")
        cloud.cast(
            "extend_volume_completion",
            "3.19",
            volume=volume,
            new_size=4,
            reservations=[],
            error=error,
        )

        assert cloud.wait_status(volume, status).size == size
        assert [c for c in cloud.script.calls("extend_volume") if c["id"] == volume.id] == []


def test_the_project_of_a_request_is_not_the_volumes(cloud: Cloud) -> None:
    """An administrator acts for others: quota is the volume's project's."""
    project = uuid.uuid4().hex
    use(cloud, project, volumes=1)
    volume = cloud.existing("deleting", project_id=project)
    cloud.cast("delete_volume", volume=volume)
    cloud.wait_status(volume, "gone")

    assert project != PROJECT
    assert usage(cloud, project) == {"volumes": (0, 0)}
