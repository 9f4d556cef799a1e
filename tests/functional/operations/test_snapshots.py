# SPDX-License-Identifier: Apache-2.0
"""create_snapshot, delete_snapshot, revert_to_snapshot: spec/volume-rpc."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.cloud import Cloud


class TestCreateSnapshot:
    def test_it_becomes_available(self, cloud: Cloud) -> None:
        volume = cloud.existing(encryption_key_id="00000000-0000-0000-0000-00000000000a")
        snapshot = cloud.snapshot(volume)
        cloud.script.plan(create_snapshot={"return": {"provider_location": "there"}})
        cloud.cast("create_snapshot", snapshot=snapshot)
        row = cloud.wait_status(snapshot, "available")

        assert (row.progress, row.provider_location) == ("100%", "there")
        assert row.encryption_key_id == volume.encryption_key_id
        assert snapshot.name in cloud.script.objects()

    @pytest.mark.parametrize(
        "plan",
        [
            pytest.param({"raise": "VolumeBackendAPIException"}, id="backend-failed"),
            pytest.param({"raise": "KeyboardInterrupt"}, id="no-exception-at-all"),
            pytest.param({"return": 7}, id="no-dict"),
            pytest.param({"return": {"nonsense": 7}}, id="unknown-column"),
        ],
    )
    def test_a_failure_ends_in_error_and_leaves_nothing(
        self, cloud: Cloud, plan: dict[str, Any]
    ) -> None:
        snapshot = cloud.snapshot(cloud.existing())
        cloud.script.plan(create_snapshot=plan)
        cloud.cast("create_snapshot", snapshot=snapshot)
        cloud.wait_status(snapshot, "error")
        cloud.wait_idle()

        assert snapshot.name not in cloud.script.objects()
        told = [m for m in cloud.records.messages.list() if m.resource_uuid == snapshot.id]
        assert [m.event_id for m in told] == ["VOLUME_VOLUME_SNAPSHOT_009_013"]


class TestDeleteSnapshot:
    def test_it_is_gone(self, cloud: Cloud) -> None:
        snapshot = cloud.existing_snapshot(cloud.existing(), "deleting")
        cloud.cast("delete_snapshot", snapshot=snapshot)
        cloud.wait_status(snapshot, "gone")

        assert snapshot.name not in cloud.script.objects()

    def test_one_that_the_backend_does_not_have_is_a_success(self, cloud: Cloud) -> None:
        snapshot = cloud.snapshot(cloud.existing(), "deleting")
        cloud.cast("delete_snapshot", snapshot=snapshot)
        cloud.wait_status(snapshot, "gone")

    @pytest.mark.parametrize(
        ("plan", "args", "status", "event"),
        [
            pytest.param(
                {"delete_snapshot": {"raise": "SnapshotIsBusy"}}, {}, "available", "015", id="busy"
            ),
            pytest.param(
                {"delete_snapshot": {"raise": "OSError"}}, {}, "error_deleting", "016", id="failed"
            ),
            pytest.param(
                {"unmanage_snapshot": {"raise": "OSError"}},
                {"unmanage_only": True},
                "error_deleting",
                "016",
                id="unmanage-failed",
            ),
        ],
    )
    def test_failures(
        self, cloud: Cloud, plan: dict[str, Any], args: dict[str, Any], status: str, event: str
    ) -> None:
        snapshot = cloud.existing_snapshot(cloud.existing(), "deleting")
        cloud.script.plan(**plan)
        cloud.cast("delete_snapshot", snapshot=snapshot, **args)
        cloud.wait_status(snapshot, status)
        cloud.wait_idle()

        assert snapshot.name in cloud.script.objects()
        told = [m for m in cloud.records.messages.list() if m.resource_uuid == snapshot.id]
        assert [m.event_id for m in told] == [f"VOLUME_VOLUME_SNAPSHOT_010_{event}"]

    def test_unmanaging_keeps_the_data(self, cloud: Cloud) -> None:
        snapshot = cloud.existing_snapshot(cloud.existing(), "unmanaging")
        cloud.cast("delete_snapshot", snapshot=snapshot, unmanage_only=True)
        cloud.wait_status(snapshot, "gone")

        assert snapshot.name in cloud.script.objects()


class TestRevert:
    def test_both_become_available_and_the_safety_snapshot_goes(self, cloud: Cloud) -> None:
        volume = cloud.existing("reverting")
        snapshot = cloud.existing_snapshot(volume, "restoring")
        cloud.cast("revert_to_snapshot", "3.15", volume=volume, snapshot=snapshot)
        cloud.wait_status(volume, "available")
        cloud.wait_status(snapshot, "available")
        cloud.wait_idle()

        assert [s.id for s in cloud.records.snapshots.of_volume(volume.id)] == [snapshot.id]
        made = [c for c in cloud.script.calls("create_snapshot") if c["volume"] == volume.name]
        assert len(made) == 1

    @pytest.mark.parametrize("method", ["revert_to_snapshot", "create_snapshot"])
    def test_a_failure_ends_in_error_and_the_snapshot_stays(
        self, cloud: Cloud, method: str
    ) -> None:
        volume = cloud.existing("reverting")
        snapshot = cloud.existing_snapshot(volume, "restoring")
        cloud.script.plan(**{method: {"raise": "VolumeBackendAPIException"}})
        cloud.cast("revert_to_snapshot", "3.15", volume=volume, snapshot=snapshot)
        cloud.wait_status(volume, "error")
        cloud.wait_status(snapshot, "available")
        cloud.wait_idle()

        assert snapshot.name in cloud.script.objects()

    def test_the_safety_snapshot_is_kept_for_the_user(self, cloud: Cloud) -> None:
        volume = cloud.existing("reverting")
        snapshot = cloud.existing_snapshot(volume, "restoring")
        cloud.script.plan(revert_to_snapshot={"raise": "VolumeBackendAPIException"})
        cloud.cast("revert_to_snapshot", "3.15", volume=volume, snapshot=snapshot)
        cloud.wait_status(volume, "error")
        cloud.wait_idle()

        (kept,) = [s for s in cloud.records.snapshots.of_volume(volume.id) if s.id != snapshot.id]
        assert (kept.status, kept.use_quota) == ("available", False)
        assert kept.display_name == f"[revert] volume {volume.id} backup snapshot"
        assert kept.name in cloud.script.objects()
