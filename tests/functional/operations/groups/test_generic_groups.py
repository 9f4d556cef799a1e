# SPDX-License-Identifier: Apache-2.0
"""Generic groups: which method is used, member by member, and refusals.

Source: spec/interfaces §5.9, and the checks of §5.3 to §5.5.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from drivers.interface.records import Record
from tests.functional.cloud import Cloud
from tests.functional.operations.groups.rows import (
    KINDS,
    OF_OLD,
    Group,
    group_of_two,
    snapshot_of_two,
)
from worker.db import models

NOT_SUPPORTED = {"raise": "NotImplementedError"}
NOT_CONSISTENT = {name: NOT_SUPPORTED for name in OF_OLD.values()}
FINE = {"return": None}


def cast(group: Group, method: str, status: str, **args: Any) -> None:
    argument = "group_snapshot" if group.record.kind == "group_snapshot" else "group"
    group.cloud.cast(method, **{argument: group.record, **args})
    group.cloud.wait_status(group.record, status)
    group.cloud.wait_idle()


def used(cloud: Cloud, project: str) -> dict[str, int]:
    table = models.quota_usages
    rows = cloud.database.rows(sa.select(table).where(table.c.project_id == project))
    return {row.resource: row.in_use for row in rows}


def made(cloud: Cloud, members: list[Record]) -> list[bool]:
    return [member.name in cloud.script.objects() for member in members]


@pytest.fixture
def plain(cloud: Cloud) -> str:
    """The id of a group type that promises nothing."""
    return cloud.group_type(consistent=False)


class TestWhichMethod:
    def test_the_generic_one_first(self, cloud: Cloud) -> None:
        group = group_of_two(cloud, "group", "deleting", "deleting")
        cloud.script.plan(delete_group=FINE)
        cast(group, "delete_group", "gone")

        (call,) = [c for c in cloud.script.calls("delete_group") if c["id"] == group.record.id]
        assert call["seen"] == "group"
        assert set(call["members"]) == set(group.ids.values())

    def test_a_consistent_type_is_shown_as_a_consistency_group(self, cloud: Cloud) -> None:
        group = group_of_two(cloud, "group", "deleting", "deleting")
        cloud.script.plan()
        cast(group, "delete_group", "gone")

        calls = cloud.script.calls("delete_consistencygroup")
        (call,) = [call for call in calls if call["id"] == group.record.id]
        assert call["seen"] == "consistencygroup"

    def test_another_type_is_done_member_by_member(self, cloud: Cloud, plain: str) -> None:
        group = group_of_two(cloud, "group", "deleting", "deleting")
        cloud.records.groups.update(group.record.id, group_type_id=plain)
        cast(group, "delete_group", "gone")

        deleted = {call["id"] for call in cloud.script.calls("delete_volume")}
        unexported = {call["id"] for call in cloud.script.calls("remove_export")}
        assert set(group.ids.values()) <= deleted & unexported
        seen = [call["id"] for call in cloud.script.calls("delete_consistencygroup")]
        assert group.record.id not in seen

    def test_an_empty_group_needs_no_driver(self, cloud: Cloud, plain: str) -> None:
        cloud.script.plan(**NOT_CONSISTENT)
        for type_id in (plain, cloud.group_type(consistent=True)):
            group = Group(cloud, cloud.group("creating", group_type_id=type_id), [])
            cast(group, "create_group", "available")

    @pytest.mark.parametrize("method", ["create_group_snapshot", "create_group_from_src"])
    def test_a_promise_that_cannot_be_kept(self, cloud: Cloud, method: str) -> None:
        cloud.script.plan(**NOT_CONSISTENT)
        if method == "create_group_snapshot":
            group = snapshot_of_two(cloud, "group", "creating", made=False)
            cast(group, method, "error")
        else:
            source = snapshot_of_two(cloud, "group", "available")
            group = of_source(cloud, source)
            cast(group, method, "error", group_snapshot=source.record)

        assert group.statuses() == ("error", "error")
        assert made(cloud, group.members) == [False, False]

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_could_not_be_made_can_be_deleted(self, cloud: Cloud, kind: str) -> None:
        cloud.script.plan(**NOT_CONSISTENT)
        group = snapshot_of_two(cloud, kind, "deleting", made=False)
        method = "delete_group_snapshot" if kind == "group" else "delete_cgsnapshot"
        cloud.cast(method, **{group.record.kind: group.record})
        cloud.wait_status(group.record, "gone")

        assert group.statuses() == ("gone", "gone")

    @pytest.mark.parametrize("method", ["create_consistencygroup", "update_consistencygroup"])
    def test_a_group_of_old_needs_its_methods(self, cloud: Cloud, method: str) -> None:
        cloud.script.plan(**NOT_CONSISTENT)
        status = "creating" if method.startswith("create") else "updating"
        group = cloud.group(status, "consistencygroup")
        cloud.cast(method, group=group)

        cloud.wait_status(group, "error")


def of_source(cloud: Cloud, source: Group, **columns: Any) -> Group:
    """Return a group that is to be made of another one, or of a snapshot."""
    group = group_of_two(cloud, "group", "creating", "creating")
    link = "snapshot_id" if source.record.kind == "group_snapshot" else "source_volid"
    for volume, one in zip(group.members, source.members, strict=True):
        cloud.script.remove(volume.name)
        cloud.records.volumes.update(volume.id, **{link: one.id})
    if columns:
        cloud.records.groups.update(group.record.id, **columns)
    return group


class TestMemberByMember:
    """One member's failure leaves each of the others as it should be."""

    @pytest.fixture(autouse=True)
    def _plain(self, cloud: Cloud, plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
        original = cloud.group
        monkeypatch.setattr(
            cloud, "group", lambda *a, **k: original(*a, **{"group_type_id": plain, **k})
        )

    @pytest.mark.parametrize(
        ("error", "status"), [("VolumeIsBusy", "available"), ("OSError", "error")]
    )
    def test_a_volume_that_cannot_be_deleted(self, cloud: Cloud, error: str, status: str) -> None:
        group = group_of_two(cloud, "group", "deleting", "deleting")
        broken = group.members[0]
        cloud.script.plan(delete_volume={"raise": error, "only": broken.id})
        cast(group, "delete_group", "error")

        assert group.statuses() == (status, "deleted")
        assert made(cloud, group.members) == [True, False]

    def test_once_more_it_is_gone(self, cloud: Cloud) -> None:
        project = uuid.uuid4().hex
        cloud.records.quotas.commit(
            cloud.records.quotas.reserve(project, {"groups": 1, "volumes": 2, "gigabytes": 2})
        )
        group = group_of_two(cloud, "group", "deleting", "deleting", project_id=project)
        cloud.records.groups.update(group.record.id, name="again")
        with cloud.database.writer() as connection:
            change = sa.update(models.groups).where(models.groups.c.id == group.record.id)
            connection.execute(change.values(project_id=project))
        cloud.script.plan(delete_volume={"raise": "OSError", "only": group.members[0].id})
        cast(group, "delete_group", "error")
        cloud.script.plan()
        cloud.records.groups.update(group.record.id, status="deleting")
        cloud.records.volumes.update(group.members[0].id, status="deleting")
        cast(group, "delete_group", "gone")

        assert group.statuses() == ("gone", "gone")
        assert used(cloud, project) == {"groups": 0, "volumes": 0, "gigabytes": 0}

    def test_a_snapshot_that_cannot_be_made(self, cloud: Cloud) -> None:
        group = snapshot_of_two(cloud, "group", "creating", made=False)
        broken = group.members[0]
        cloud.script.plan(create_snapshot={"raise": "OSError", "only": broken.id})
        cast(group, "create_group_snapshot", "error")

        assert group.statuses() == ("error", "available")
        assert made(cloud, group.members) == [False, True]
        assert cloud.records.snapshots.get(group.members[1].id).progress == "100%"

    def test_snapshots_that_are_made(self, cloud: Cloud) -> None:
        group = snapshot_of_two(cloud, "group", "creating", made=False)
        cloud.script.plan(create_snapshot={"return": {"provider_id": "there"}})
        cast(group, "create_group_snapshot", "available")

        assert group.statuses() == ("available", "available")
        rows = [cloud.records.snapshots.get(member.id) for member in group.members]
        assert [row.provider_id for row in rows] == ["there", "there"]

    @pytest.mark.parametrize(
        ("error", "status"), [("SnapshotIsBusy", "available"), ("OSError", "error")]
    )
    def test_a_snapshot_that_cannot_be_deleted(self, cloud: Cloud, error: str, status: str) -> None:
        group = snapshot_of_two(cloud, "group", "deleting")
        broken = group.members[0]
        cloud.script.plan(delete_snapshot={"raise": error, "only": broken.id})
        cast(group, "delete_group_snapshot", "error")

        assert group.statuses() == (status, "deleted")

    @pytest.mark.parametrize("source", ["snapshot", "group"])
    def test_a_volume_that_cannot_be_made(self, cloud: Cloud, source: str) -> None:
        method = "create_volume_from_snapshot" if source == "snapshot" else "create_cloned_volume"
        if source == "snapshot":
            origin, argument = snapshot_of_two(cloud, "group", "available"), "group_snapshot"
        else:
            origin, argument = (
                group_of_two(cloud, "group", "available", "available"),
                "source_group",
            )
        group = of_source(cloud, origin)
        cloud.script.plan(**{method: {"raise": "OSError", "only": group.members[0].id}})
        cast(group, "create_group_from_src", "error", **{argument: origin.record})

        assert group.statuses() == ("error", "available")
        assert made(cloud, group.members) == [False, True]
        assert cloud.records.volumes.get(group.members[1].id).launched_at is not None

    def test_volumes_of_a_bootable_source(self, cloud: Cloud) -> None:
        origin = group_of_two(cloud, "group", "available", "available")
        first = origin.members[0]
        cloud.records.volumes.update(first.id, bootable=True, multiattach=True)
        with cloud.database.writer() as connection:
            values = {"volume_id": first.id, "key": "os", "value": "linux", "deleted": False}
            connection.execute(sa.insert(models.volume_glance_metadata).values(**values))
        # The row names the source, where the message does not.
        group = of_source(cloud, origin, source_group_id=origin.record.id)
        cast(group, "create_group_from_src", "available")

        copy, other = (cloud.records.volumes.get(member.id) for member in group.members)
        assert (copy.bootable, copy.multiattach) == (True, True)
        assert copy.glance_metadata == {"os": "linux"}
        assert (other.bootable, other.multiattach) == (False, False)


class TestRefusals:
    """The driver is not called, and nothing hangs."""

    def test_a_group_with_an_attached_volume_is_not_deleted(self, cloud: Cloud) -> None:
        group = group_of_two(cloud, "group", "deleting", "deleting")
        cloud.records.volumes.update(group.members[0].id, attach_status="attached")
        cast(group, "delete_group", "error")

        assert group.statuses() == ("error_deleting", "error_deleting")
        assert made(cloud, group.members) == [True, True]

    def test_a_group_of_another_backend_is_not_deleted(self, cloud: Cloud) -> None:
        group = group_of_two(cloud, "group", "deleting", "deleting")
        cloud.records.groups.update(group.record.id, host="h1@other#pool")
        cloud.cast("delete_group", group=group.record)

        assert "is on h1@other#pool, not on" in cloud.wait_refused(group.record)
        assert cloud.status(group.record) == "deleting"
        assert group.statuses() == ("deleting", "deleting")

    @pytest.mark.parametrize(
        ("joins", "columns"),
        [
            pytest.param(True, {"status": "error"}, id="in-error"),
            pytest.param(True, {"status": "creating"}, id="not-made-yet"),
            pytest.param(True, {"host": "h1@other#pool"}, id="elsewhere"),
            pytest.param(False, {"status": "deleting"}, id="on-its-way-out"),
            pytest.param(False, {"group_id": None}, id="not-in-the-group"),
        ],
    )
    def test_a_volume_that_cannot_join_or_leave(
        self, cloud: Cloud, joins: bool, columns: dict[str, Any]
    ) -> None:
        group = group_of_two(cloud, "group", "updating", "available")
        volume = group.members[0]
        if joins:
            cloud.records.volumes.update(volume.id, group_id=None)
        cloud.records.volumes.update(volume.id, **columns)
        lists = {"add_volumes" if joins else "remove_volumes": volume.id}
        cast(group, "update_group", "error", **lists)

        row = cloud.records.volumes.get(volume.id)
        assert row.status == columns.get("status", "available")
        called = [c["id"] for c in cloud.script.calls("update_consistencygroup")]
        assert group.record.id not in called

    def test_a_volume_that_is_not_there(self, cloud: Cloud) -> None:
        group = group_of_two(cloud, "group", "updating", "available")
        cast(group, "update_group", "error", add_volumes=str(uuid.uuid4()))

        assert group.statuses() == ("available", "available")

    def test_a_volume_of_another_group(self, cloud: Cloud) -> None:
        other = group_of_two(cloud, "group", "available", "available")
        group = group_of_two(cloud, "group", "updating", "available")
        cast(group, "update_group", "error", add_volumes=other.members[0].id)

        assert cloud.records.volumes.get(other.members[0].id).group_id == other.record.id

    @pytest.mark.parametrize(
        "wrong",
        [
            "source-in-error",
            "source-elsewhere",
            "one-without-source",
            "one-too-few",
            "nothing",
            "both",
        ],
    )
    def test_a_source_that_does_not_fit(self, cloud: Cloud, wrong: str) -> None:
        origin = snapshot_of_two(cloud, "group", "available")
        group = of_source(cloud, origin)
        args: dict[str, Any] = {"group_snapshot": origin.record}
        first = origin.members[0]
        if wrong == "source-in-error":
            cloud.records.snapshots.update(first.id, status="error")
        elif wrong == "source-elsewhere":
            cloud.records.volumes.update(first.volume_id, host="h1@other#pool")
        elif wrong == "one-without-source":
            cloud.records.volumes.update(group.members[0].id, snapshot_id=None)
        elif wrong == "one-too-few":
            cloud.records.snapshots.destroy(first.id)
        elif wrong == "nothing":
            args = {}
        else:
            args["source_group"] = group.record
        cast(group, "create_group_from_src", "error", **args)

        assert group.statuses() == ("error", "error")
        called = [c["id"] for c in cloud.script.calls("create_consistencygroup_from_src")]
        assert group.record.id not in called
