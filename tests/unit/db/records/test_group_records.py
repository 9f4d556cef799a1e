# SPDX-License-Identifier: Apache-2.0
"""Groups and their snapshots: rows, members, their end; both kinds alike."""

from __future__ import annotations

import pytest

from flows.errors import GroupNotFound, GroupSnapshotNotFound, StatusChanged
from tests.unit.db.world import PROJECT

KINDS = ("group", "consistencygroup")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def groups(records, kind):
    return records.by_group_kind[kind]


@pytest.fixture
def snapshots(records, kind):
    return records.by_group_kind["group_snapshot" if kind == "group" else "cgsnapshot"]


@pytest.fixture
def group(groups):
    """A live group."""
    return groups.create(id="g1", host="h@b#p", project_id=PROJECT, name="pair")


@pytest.fixture
def volumes(records, kind, group):
    """Two volumes in the group, and one that is in none."""
    made = [{f"{kind}_id": "g1"}, {f"{kind}_id": "g1"}, {}]
    return [
        records.volumes.create(id=f"v{n}", host="h@b#p", project_id=PROJECT, size=1, **columns)
        for n, columns in enumerate(made)
    ]


def snapped(records, snapshots, kind):
    """Return a snapshot of the group with one of its first volume."""
    whole = snapshots.create(id="gs1", project_id=PROJECT, **{f"{kind}_id": "g1"})
    link = {f"{whole.kind}_id": "gs1"}
    records.snapshots.create(id="s1", volume_id="v0", project_id=PROJECT, **link)
    return whole


class TestGroups:
    def test_it_has_its_members_and_is_of_its_kind(self, groups, kind, group, volumes):
        assert (group.kind, group.status, group.name) == (kind, "creating", "pair")
        assert [volume.id for volume in groups.members("g1")] == ["v0", "v1"]
        assert [volume.id for volume in group.volumes] == ["v0", "v1"]

    def test_members_that_are_deleted_are_none(self, records, groups, volumes):
        records.volumes.destroy("v0")

        assert [volume.id for volume in groups.members("g1")] == ["v1"]

    def test_some_join_and_some_leave(self, records, groups, kind, volumes):
        for _ in range(2):
            groups.change_members("g1", ["v2"], ["v0"])

        assert [volume.id for volume in groups.members("g1")] == ["v1", "v2"]
        assert records.volumes.get("v0")[f"{kind}_id"] is None

    def test_members_are_written_all_or_none(self, records, groups, volumes):
        entries = [{"id": "v0", "status": "error"}, {"id": "v1", "no_such_column": 1}]
        with pytest.raises(ValueError, match="no_such_column"):
            groups.update_members("g1", entries)
        assert records.volumes.get("v0").status == "creating"

        groups.update_members("g1", [{"id": "v0", "status": "error", "metadata": {"a": "1"}}])
        row = records.volumes.get("v0")
        assert (row.status, row.metadata) == ("error", {"a": "1"})

    def test_a_status_is_compared_and_set(self, groups, group):
        groups.transition("g1", "available", when=("creating",), description="noted")
        groups.transition("g1", "available", when=("creating",), description="noted")

        assert groups.get("g1").description == "noted"
        with pytest.raises(StatusChanged, match="is available, not creating"):
            groups.transition("g1", "error", when=("creating",))

    def test_it_is_destroyed_once_with_its_quota(self, groups, tables, group):
        tables.use(groups=3, consistencygroups=3)
        resource = {"group": "groups", "consistencygroup": "consistencygroups"}[group.kind]

        assert groups.destroy("g1", release={resource: 1})
        assert not groups.destroy("g1", release={resource: 1})
        assert tables.used()[resource] == (2, 0)
        row = tables.row(f"{group.kind}s", id="g1")
        assert (row["status"], row["deleted"]) == ("deleted", True)
        with pytest.raises(GroupNotFound):
            groups.get("g1")


class TestTypes:
    def test_a_generic_group_has_a_type_and_types_of_volumes(self, records, tables):
        gold = tables.volume_type("gold")
        kind = tables.add("group_types", name="consistent")
        tables.add("group_type_specs", group_type_id=kind, key="k", value="<is> True")
        group = records.groups.create(
            id="g1", group_type_id=kind, project_id=PROJECT, volume_type_ids=[gold]
        )

        assert (group.group_type.name, group.group_type.group_specs) == (
            "consistent",
            {"k": "<is> True"},
        )
        assert group.volume_type_ids == [gold]
        assert [found.name for found in group.volume_types] == ["gold"]
        records.groups.destroy("g1")
        (mapping,) = tables.rows("group_volume_type_mapping")
        assert mapping["deleted"]

    def test_a_type_that_is_not_there(self, records):
        assert records.groups.create(id="g1", group_type_id="gone").group_type is None


class TestSnapshots:
    def test_it_has_its_members_and_its_group(self, records, snapshots, kind, group, volumes):
        whole = snapped(records, snapshots, kind)

        assert [snapshot.id for snapshot in snapshots.members("gs1")] == ["s1"]
        assert whole[kind].id == "g1"

    def test_it_is_destroyed_once(self, records, snapshots, kind, group, volumes):
        snapped(records, snapshots, kind)

        assert snapshots.destroy("gs1")
        assert not snapshots.destroy("gs1")
        with pytest.raises(GroupSnapshotNotFound):
            snapshots.get("gs1")

    def test_members_are_written_all_or_none(self, records, snapshots, kind, group, volumes):
        snapped(records, snapshots, kind)
        with pytest.raises(ValueError, match="takes 255 characters"):
            entries = [{"id": "s1", "status": "error"}, {"id": "s1", "provider_id": "x" * 300}]
            snapshots.update_members("gs1", entries)

        assert records.snapshots.get("s1").status == "creating"


class TestNames:
    """Whether an object on the backend has a row."""

    ID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
    OTHER = "3f2504e0-4f89-11d3-9a0c-0305e82c3302"

    def test_a_volume_by_its_whole_name(self, records):
        records.volumes.create(id=self.ID, project_id=PROJECT, size=1)

        assert records.volumes.named(f"volume-{self.ID}").id == self.ID
        for name in (f"volume-{self.OTHER}", f"volume-{self.ID}.old", self.ID, "volume-", ""):
            assert records.volumes.named(name) is None

    def test_a_volume_that_was_migrated_by_its_other_name(self, records):
        records.volumes.create(id=self.ID, _name_id=self.OTHER, project_id=PROJECT, size=1)

        assert records.volumes.named(f"volume-{self.OTHER}").id == self.ID
        assert records.volumes.named(f"volume-{self.ID}") is None

    def test_a_deleted_one_is_nobodys(self, records):
        records.volumes.create(id=self.ID, project_id=PROJECT, size=1)
        records.volumes.destroy(self.ID)

        assert records.volumes.named(f"volume-{self.ID}") is None

    def test_a_snapshot_anywhere_in_a_name(self, records):
        records.volumes.create(id="v1", project_id=PROJECT, size=1)
        records.snapshots.create(id=self.ID, volume_id="v1", project_id=PROJECT)

        assert records.snapshots.named(f"volume-v1@snapshot-{self.ID}").id == self.ID
        assert records.snapshots.named(f"volume-v1@snapshot-{self.OTHER}") is None


class TestReservationsOfAResource:
    def test_a_second_try_meets_the_first(self, records, tables):
        volume = records.volumes.create(id="v1", project_id=PROJECT, size=1)
        for _ in range(2):
            records.quotas.reserve_for(volume, {"gigabytes": 5})

        assert tables.used()["gigabytes"][1] == 5
        records.volumes.transition("v1", "available", when=("creating",), commit=["v1"])
        assert tables.used()["gigabytes"][1] == 0

    def test_after_it_was_given_back_it_can_be_made_again(self, records, tables):
        volume = records.volumes.create(id="v1", project_id=PROJECT, size=1)
        for _ in range(2):
            records.quotas.reserve_for(volume, {"gigabytes": 5})
            records.quotas.rollback(["v1"])

        assert tables.used()["gigabytes"][1] == 0

    def test_what_is_less_becomes_free_with_the_snapshot(self, records, tables):
        tables.use(gigabytes=9)
        records.volumes.create(id="v1", project_id=PROJECT, size=5)
        snapshot = records.snapshots.create(id="s1", volume_id="v1", project_id=PROJECT)
        records.quotas.reserve_for(snapshot, {"gigabytes": -4})
        assert tables.used()["gigabytes"] == (9, 0)
        for _ in range(2):
            records.snapshots.transition("s1", "available", when=("creating",), commit=["s1"])

        assert tables.used()["gigabytes"] == (5, 0)
