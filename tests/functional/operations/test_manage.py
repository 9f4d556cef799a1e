# SPDX-License-Identifier: Apache-2.0
"""manage_existing, manage_existing_snapshot and their lists over the bus: spec/volume-rpc."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.functional.cloud import Cloud

ENTRY = {
    "reference": {"source-name": "lun-1"},
    "size": 1,
    "safe_to_manage": True,
    "reason_not_safe": None,
    "cinder_id": None,
    "extra_info": None,
}
PAGE = {"marker": None, "limit": 10, "offset": 0, "sort_keys": ["size"], "sort_dirs": ["asc"]}

FAILURES = [
    pytest.param({"raise": "ManageExistingInvalidReference"}, id="invalid-reference"),
    pytest.param({"raise": "ManageExistingVolumeTypeMismatch"}, id="type-mismatch"),
    pytest.param({"raise": "KeyboardInterrupt"}, id="no-exception-at-all"),
]


def used(cloud: Cloud, project: str) -> dict[str, tuple[int, int]]:
    with cloud.database.reader() as connection:
        import sqlalchemy as sa

        from worker.db import models

        table = models.quota_usages
        rows = connection.execute(sa.select(table).where(table.c.project_id == project))
        return {row.resource: (row.in_use, row.reserved) for row in rows}


@pytest.fixture
def lun(cloud: Cloud) -> str:
    """An object on the backend that no row knows."""
    name = f"lun-{uuid.uuid4()}"
    cloud.script.make(name)
    return name


class TestVolume:
    def test_it_becomes_available(self, cloud: Cloud, lun: str) -> None:
        project = uuid.uuid4().hex
        volume = cloud.volume("managing", size=0, project_id=project)
        cloud.script.plan(manage_existing={"return": {"provider_location": "lun/1"}})
        cloud.cast("manage_existing", volume=volume, ref={"source-name": lun})
        row = cloud.wait_status(volume, "available")

        assert (row.size, row.provider_location) == (2, "lun/1")
        assert row.launched_at is not None
        assert volume.name in cloud.script.objects()
        assert lun not in cloud.script.objects()
        cloud.wait_idle()
        assert used(cloud, project)["gigabytes"] == (2, 0)

    @pytest.mark.parametrize("method", ["manage_existing_get_size", "manage_existing"])
    @pytest.mark.parametrize("plan", FAILURES)
    def test_a_failure_keeps_the_object(
        self, cloud: Cloud, lun: str, method: str, plan: dict[str, Any]
    ) -> None:
        project = uuid.uuid4().hex
        volume = cloud.volume("managing", size=0, project_id=project)
        cloud.script.plan(**{method: plan})
        cloud.cast("manage_existing", volume=volume, ref={"source-name": lun})
        row = cloud.wait_status(volume, "error_managing")
        cloud.wait_idle()

        assert row.size == 0
        assert {lun, volume.name} & cloud.script.objects()
        assert used(cloud, project).get("gigabytes", (0, 0)) == (0, 0)

    def test_another_volumes_object_is_not_taken(self, cloud: Cloud) -> None:
        other, volume = cloud.existing(), cloud.volume("managing", size=0)
        cloud.cast("manage_existing", volume=volume, ref={"source-name": other.name})
        cloud.wait_status(volume, "error_managing")

        assert other.name in cloud.script.objects()

    def test_a_message_without_a_reference(self, cloud: Cloud) -> None:
        volume = cloud.volume("managing", size=0)
        cloud.cast("manage_existing", volume=volume)

        cloud.wait_status(volume, "error_managing")


class TestSnapshot:
    def test_it_becomes_available(self, cloud: Cloud, lun: str) -> None:
        snapshot = cloud.snapshot(cloud.existing(), project_id=uuid.uuid4().hex)
        cloud.cast("manage_existing_snapshot", snapshot=snapshot, ref={"source-name": lun})
        row = cloud.wait_status(snapshot, "available")

        assert (row.volume_size, row.progress) == (3, "0%")
        assert snapshot.name in cloud.script.objects()

    @pytest.mark.parametrize(
        "method", ["manage_existing_snapshot_get_size", "manage_existing_snapshot"]
    )
    @pytest.mark.parametrize("plan", FAILURES)
    def test_a_failure_keeps_the_object(
        self, cloud: Cloud, lun: str, method: str, plan: dict[str, Any]
    ) -> None:
        snapshot = cloud.snapshot(cloud.existing())
        cloud.script.plan(**{method: plan})
        cloud.cast("manage_existing_snapshot", snapshot=snapshot, ref={"source-name": lun})
        cloud.wait_status(snapshot, "error")
        cloud.wait_idle()

        assert {lun, snapshot.name} & cloud.script.objects()


class TestLists:
    def test_volumes_as_objects(self, cloud: Cloud) -> None:
        volume = cloud.existing()
        cloud.script.plan(get_manageable_volumes={"return": [ENTRY]})
        (found,) = cloud.call("get_manageable_volumes", "3.10", **PAGE, want_objects=True)

        assert found == {
            "versioned_object.name": "ManageableVolume",
            "versioned_object.namespace": "cinder",
            "versioned_object.version": "1.0",
            "versioned_object.data": ENTRY,
        }
        asked = cloud.script.calls("get_manageable_volumes")[-1]
        assert volume.id in asked["managed"]
        assert asked["paging"] == [None, 10, 0, ["size"], ["asc"]]

    def test_volumes_as_dicts(self, cloud: Cloud) -> None:
        cloud.script.plan(get_manageable_volumes={"return": [ENTRY]})

        assert cloud.call("get_manageable_volumes", "3.10", **PAGE) == [ENTRY]

    def test_snapshots(self, cloud: Cloud) -> None:
        entry = {**ENTRY, "source_reference": {"source-name": "lun-0"}}
        snapshot = cloud.existing_snapshot(cloud.existing())
        cloud.script.plan(get_manageable_snapshots={"return": [entry]})
        (found,) = cloud.call("get_manageable_snapshots", "3.10", **PAGE, want_objects=True)

        assert found["versioned_object.name"] == "ManageableSnapshot"
        assert found["versioned_object.data"] == entry
        assert snapshot.id in cloud.script.calls("get_manageable_snapshots")[-1]["managed"]

    @pytest.mark.parametrize(
        ("plan", "kind"),
        [
            pytest.param({"raise": "InvalidInput"}, "InvalidInput", id="the-page-is-wrong"),
            pytest.param({"raise": "OSError"}, "VolumeBackendAPIException", id="failed"),
            pytest.param({"return": 7}, "VolumeBackendAPIException", id="no-list"),
            pytest.param({"return": [{}]}, "VolumeBackendAPIException", id="no-reference"),
        ],
    )
    def test_failures_go_to_the_caller(self, cloud: Cloud, plan: dict[str, Any], kind: str) -> None:
        cloud.script.plan(get_manageable_volumes=plan)
        found, _text = cloud.failure("get_manageable_volumes", "3.10", **PAGE)

        assert found == kind

    def test_a_driver_without_lists(self, cloud: Cloud) -> None:
        cloud.script.plan(get_manageable_volumes={"raise": "NotImplementedError"})

        assert cloud.call("get_manageable_volumes", "3.10", **PAGE) == []
