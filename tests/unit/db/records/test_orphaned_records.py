# SPDX-License-Identifier: Apache-2.0
"""Orphaned rows of another service: its work rows, and rows in transient statuses."""

from __future__ import annotations

import datetime

import pytest

from flows.errors import StatusChanged

HOST = "h@b"
WHO = {
    "binary": "cinder-volume",
    "topic": "cinder-volume",
    "availability_zone": "nova",
    "rpc_version": "3.20",
    "object_version": "1.39",
}
EXACT = datetime.datetime(2026, 1, 1, 12, 0, 0, 123456)


@pytest.fixture
def ours(records):
    """The row id of our service."""
    row = records.services.ensure(host=HOST, **WHO)
    records.workers = records.work_of(row)
    return row.id


@pytest.fixture
def other(records):
    """The row id of another service."""
    return records.services.ensure(host="h@other", **WHO).id


def work(tables, service_id, resource_id="v1", **columns):
    row = {"resource_type": "Volume", "status": "creating", "race_preventer": 3}
    row |= {"resource_id": resource_id, "service_id": service_id, "updated_at": EXACT}
    return tables.add("workers", **{**row, **columns})


def ids(found):
    return [one.resource_id for one in found]


class TestWork:
    def test_what_a_service_has_claimed(self, records, tables, ours, other):
        work(tables, ours, "v1")
        work(tables, other, "v2")
        work(tables, None, "v3")
        sentinel = tables.row("workers", resource_type="SENTINEL")
        tables.set("workers", sentinel["id"], service_id=ours)

        assert ids(records.workers.left()) == ["v1"]
        assert ids(records.workers.left(other)) == ["v2"]
        assert records.workers.left(99) == []

    def test_some_of_it(self, records, tables, ours):
        work(tables, ours, "v1")
        work(tables, ours, "v2", updated_at=EXACT + datetime.timedelta(seconds=1))
        work(tables, ours, "s1", resource_type="Snapshot")

        left = records.workers.left
        assert ids(left(resource_type="Snapshot")) == ["s1"]
        assert ids(left(resource_id="v2")) == ["v2"]
        assert ids(left(until=EXACT)) == ["v1", "s1"]
        assert left(until=EXACT - datetime.timedelta(microseconds=1)) == []

    def test_is_taken_once(self, records, tables, ours, other):
        work(tables, other)
        (found,) = records.workers.left(other)

        assert records.workers.take(found) is True
        assert records.workers.take(found) is False
        row = tables.row("workers", resource_id="v1")
        assert (row["service_id"], row["race_preventer"]) == (ours, 4)
        assert row["updated_at"] > EXACT

    @pytest.mark.parametrize("changed", [{"status": "deleting"}, {"race_preventer": 4}])
    def test_is_not_taken_where_somebody_works_on_it(self, records, tables, ours, changed):
        row_id = work(tables, ours)
        (found,) = records.workers.left()
        tables.set("workers", row_id, **changed)

        assert records.workers.take(found) is False

    def test_is_put_back_as_it_was(self, records, tables, ours, other):
        work(tables, other)
        (found,) = records.workers.left(other)
        records.workers.take(found)
        records.workers.put_back(found)
        row = tables.row("workers", resource_id="v1")

        assert (row["service_id"], row["updated_at"]) == (other, EXACT)
        assert ids(records.workers.left(other)) == ["v1"]

    def test_is_dropped_unless_somebody_has_it_by_now(self, records, tables, ours):
        work(tables, ours)
        (found,) = records.workers.left()
        records.workers.take(found)
        records.workers.claim("Volume", "v1", "deleting")
        records.workers.drop(found)
        assert len(tables.rows("workers", resource_id="v1")) == 1

        (found,) = records.workers.left()
        records.workers.take(found)
        records.workers.drop(found)
        assert tables.rows("workers", resource_id="v1") == []

    def test_is_done(self, records, tables, ours):
        work(tables, ours)
        work(tables, ours, resource_type="Snapshot")
        records.workers.done("Volume", "v1")

        assert [row["resource_type"] for row in tables.rows("workers", resource_id="v1")] == [
            "Snapshot"
        ]


class TestUnsettled:
    AMONG = ("creating", "extending")

    def found(self, records, kind="volume", column="status", among=AMONG):
        host = records.on_host(HOST)
        return [row.id for row in host.unsettled(kind, column=column, among=among)]

    def test_one_statement_says_which_queries_have_rows(self, records, tables):
        wanted = [
            ("group", "status", ("creating",)),
            ("volume", "migration_status", ("migrating",)),
            ("volume", "status", self.AMONG),
            ("snapshot", "status", ("deleting",)),
        ]
        host = records.on_host(HOST)
        before = host.have_unsettled(wanted)
        records.volumes.create(id="v1", host="h@b#p", status="creating")
        records.snapshots.create(id="s1", volume_id="v1", status="deleting")
        records.volumes.create(id="v2", host="other@b", migration_status="migrating")

        assert before == [False, False, False, False]
        assert host.have_unsettled(wanted) == [False, False, True, True]

    def test_volumes_of_the_backend(self, records, tables):
        records.volumes.create(id="v1", host="h@b#p", status="creating")
        records.volumes.create(id="v2", host="h@b", status="extending")
        records.volumes.create(id="v3", host="H@b#p", status="creating")
        records.volumes.create(id="v4", host="h@b#p", status="available")
        records.volumes.create(id="v5", host="h@b#p", status="creating")
        records.volumes.destroy("v5")

        assert self.found(records) == ["v1", "v2"]

    def test_not_what_a_backup_is_restored_into(self, records, tables):
        records.volumes.create(id="v1", host=HOST, status="creating")
        backup = {"volume_id": "v0", "restore_volume_id": "v1", "status": "restoring"}
        tables.add("backups", id="b1", **backup)
        host = records.on_host(HOST)

        assert self.found(records) == []
        assert host.is_restored("v1")
        assert not host.is_restored("v0")
        tables.set("backups", "b1", status="available")
        assert self.found(records) == ["v1"]
        assert not host.is_restored("v1")

    def test_by_another_column(self, records):
        records.volumes.create(id="v1", host=HOST, migration_status="migrating")
        records.volumes.create(id="v2", host=HOST, migration_status="success")

        assert self.found(records, column="migration_status", among=["migrating"]) == ["v1"]

    def test_snapshots_by_the_host_of_their_volume(self, records):
        records.volumes.create(id="v1", host="h@b#p")
        records.volumes.create(id="v2", host="h@other#p")
        for volume_id in ("v1", "v2"):
            records.snapshots.create(id=f"s-{volume_id}", volume_id=volume_id, status="creating")

        assert self.found(records, "snapshot") == ["s-v1"]

    @pytest.mark.parametrize(
        ("of", "snapshot", "column"),
        [
            ("group", "group_snapshot", "group_id"),
            ("consistencygroup", "cgsnapshot", "consistencygroup_id"),
        ],
    )
    def test_groups_and_their_snapshots(self, records, of, snapshot, column):
        groups, snapshots = records.by_group_kind[of], records.by_group_kind[snapshot]
        for name, host in (("g1", "h@b#p"), ("g2", "h@other")):
            groups.create(id=name, host=host, status="creating")
            snapshots.create(id=f"s-{name}", status="creating", **{column: name})

        assert self.found(records, of) == ["g1"]
        assert self.found(records, snapshot) == ["s-g1"]


class TestReplicatedGroups:
    @pytest.mark.parametrize(
        ("spec", "found"),
        [
            ({"group_replication_enabled": "<is> True"}, ["g1"]),
            ({"consistent_group_replication_enabled": "<is> True"}, ["g1"]),
            ({"group_replication_enabled": "<is> False"}, []),
            ({"consistent_group_snapshot_enabled": "<is> True"}, []),
        ],
    )
    def test_by_their_type(self, records, tables, spec, found):
        tables.add("group_types", id="t1", name="replicated")
        for key, value in spec.items():
            tables.add("group_type_specs", group_type_id="t1", key=key, value=value)
        records.groups.create(id="g1", host="h@b#p", group_type_id="t1")
        records.groups.create(id="g2", host="h@b#p")
        records.groups.create(id="g3", host="h@other", group_type_id="t1")

        assert [g.id for g in records.on_host(HOST).replicated_groups()] == found


class TestReplicationOfAGroup:
    def rows(self, tables):
        named = [*tables.rows("groups"), *tables.rows("volumes")]
        return {row["id"]: (row["status"], row["replication_status"]) for row in named}

    @pytest.fixture(autouse=True)
    def _group(self, records):
        records.groups.create(id="g1", status="available", replication_status="enabling")
        for volume_id, status in (("v1", "enabling"), ("v2", "enabled")):
            columns = {"status": "in-use", "replication_status": status}
            records.volumes.create(id=volume_id, group_id="g1", **columns)

    def test_changes_with_that_of_its_members(self, records, tables):
        for _ in range(2):
            records.groups.set_replication("g1", "enabled", when="enabling")

            assert self.rows(tables) == {
                "g1": ("available", "enabled"),
                "v1": ("in-use", "enabled"),
                "v2": ("in-use", "enabled"),
            }

    def test_may_take_the_statuses_along(self, records, tables):
        how = {"when": "enabling", "status": "error", "members_status": "error"}
        records.groups.set_replication("g1", "error", **how)

        assert self.rows(tables) == {
            "g1": ("error", "error"),
            "v1": ("error", "error"),
            "v2": ("in-use", "enabled"),
        }

    def test_is_left_where_it_is_another_one(self, records, tables):
        with pytest.raises(StatusChanged, match="enabling"):
            records.groups.set_replication("g1", "disabled", when="disabling")

        assert self.rows(tables)["g1"] == ("available", "enabling")
