# SPDX-License-Identifier: Apache-2.0
"""Snapshots: rows, statuses, their end."""

from __future__ import annotations

import pytest

from flows.errors import MetadataCopyFailure, SnapshotNotFound, StatusChanged, VolumeNotFound
from tests.unit.db.world import LONG_AGO, PROJECT


@pytest.fixture(autouse=True)
def volume(records):
    """The volume of the snapshots."""
    return records.volumes.create(id="v1", host="h@b#p", project_id=PROJECT, size=7)


@pytest.fixture
def snapshot(records):
    """A live snapshot."""
    return records.snapshots.create(id="s1", volume_id="v1", project_id=PROJECT)


class TestSnapshotRows:
    def test_names_relations_and_defaults(self, records, tables, volume, snapshot):
        assert (snapshot.name, snapshot.volume_name) == ("snapshot-s1", "volume-v1")
        assert snapshot.volume.id == "v1"
        assert (snapshot.volume_size, snapshot.volume_type_id) == (7, volume.volume_type_id)
        assert (snapshot.status, snapshot.progress, snapshot.use_quota) == ("creating", "0%", True)

    def test_the_volumes_name_follows_its_name_id(self, records, snapshot):
        records.volumes.update("v1", _name_id="moved")

        assert records.snapshots.get("s1").volume_name == "volume-moved"

    def test_metadata(self, records):
        records.snapshots.create(id="s1", volume_id="v1", metadata={"a": "1", "b": "1"})
        records.snapshots.update("s1", metadata={"b": "2"}, provider_id="x")
        snapshot = records.snapshots.get("s1")

        assert (snapshot.metadata, snapshot.provider_id) == ({"b": "2"}, "x")

    def test_an_existing_row_is_returned_as_it_is(self, records, snapshot):
        again = records.snapshots.create(id="s1", volume_id="v1", metadata={"a": "b"})

        assert again.metadata == {}

    def test_without_its_volume_there_is_none(self, records, tables):
        with pytest.raises(VolumeNotFound):
            records.snapshots.create(volume_id="gone")
        assert tables.rows("snapshots") == []

    def test_of_a_volume_oldest_first(self, records, tables):
        for snapshot_id in ("c", "a", "b"):
            records.snapshots.create(id=snapshot_id, volume_id="v1")
        tables.set("snapshots", "b", created_at=LONG_AGO)
        records.snapshots.destroy("c")

        assert [s.id for s in records.snapshots.of_volume("v1")] == ["b", "a"]

    def test_on_host_goes_by_the_volume(self, records, snapshot):
        records.volumes.create(id="v2", host="h@B#p", size=1)
        records.snapshots.create(id="s2", volume_id="v2")

        assert [s.id for s in records.snapshots.on_host("h@b", 1)] == ["s1"]

    @pytest.mark.parametrize("columns", [{"provider_id": "x"}, {"metadata": {}}])
    def test_a_missing_row_is_not_found(self, records, columns):
        with pytest.raises(SnapshotNotFound, match="snapshot s9 does not exist"):
            records.snapshots.update("s9", **columns)
        with pytest.raises(SnapshotNotFound):
            records.snapshots.get("s9")


class TestSnapshotStatus:
    def test_changes_with_columns_and_ends_the_work_row(self, records, tables, snapshot):
        records.workers.offer("Snapshot", "s1", "creating")
        for _ in range(2):
            records.snapshots.transition(
                "s1", "available", when=("creating",), done=True, progress="100%"
            )

        assert records.snapshots.get("s1").progress == "100%"
        assert tables.rows("workers", resource_id="s1") == []

    def test_another_status_is_left_alone(self, records, snapshot):
        with pytest.raises(StatusChanged, match="snapshot s1 is creating, not deleting"):
            records.snapshots.transition("s1", "available", when=("deleting",))


class TestSnapshotEnd:
    def test_takes_its_metadata_along(self, records, tables):
        records.snapshots.create(id="s1", volume_id="v1", metadata={"a": "b"})
        for snapshot_id in ("s1", None):
            columns = {"snapshot_id": snapshot_id, "volume_id": None if snapshot_id else "v1"}
            tables.add("volume_glance_metadata", key="k", value="v", **columns)

        assert records.snapshots.destroy("s1") is True
        assert tables.row("snapshots", id="s1")["status"] == "deleted"
        assert tables.row("snapshot_metadata")["deleted"] is True
        assert tables.row("volume_glance_metadata", snapshot_id="s1")["deleted"] is True
        assert records.volumes.get("v1").glance_metadata == {"k": "v"}

    def test_quota_follows_the_type_that_the_volume_has_now(self, records, tables, snapshot):
        gold = tables.volume_type("gold")
        records.volumes.create(id="v0", size=1)
        records.snapshots.create(id="s0", volume_id="v0")
        records.volumes.update("v1", volume_type_id=gold)
        tables.use(snapshots=2, snapshots_gold=2, snapshots___DEFAULT__=2, gigabytes=9)
        for _ in range(2):
            records.snapshots.destroy("s1", release={"snapshots": 1, "gigabytes": 7})

        assert tables.used() == {
            "snapshots": (1, 0),
            "snapshots_gold": (1, 0),
            "snapshots___DEFAULT__": (2, 0),
            "gigabytes": (2, 0),
        }

    def test_a_second_time_says_so(self, records, snapshot):
        assert records.snapshots.destroy("s1") is True
        assert records.snapshots.destroy("s1") is False


class TestSnapshotImageMetadata:
    def test_is_copied_from_the_volume_once(self, records, tables, snapshot):
        tables.add("volume_glance_metadata", volume_id="v1", key="image_id", value="i")
        for _ in range(2):
            records.snapshots.copy_image_metadata("s1", from_volume="v1")

        assert tables.pairs("volume_glance_metadata", snapshot_id="s1") == {"image_id": "i"}
        assert tables.row("volume_glance_metadata", snapshot_id="s1")["volume_id"] is None

    def test_none_is_fine(self, records, tables, snapshot):
        records.snapshots.copy_image_metadata("s1", from_volume="v1")

        assert tables.rows("volume_glance_metadata") == []

    def test_another_value_is_never_overwritten(self, records, tables, snapshot):
        tables.add("volume_glance_metadata", volume_id="v1", key="image_id", value="i")
        tables.add("volume_glance_metadata", snapshot_id="s1", key="image_id", value="other")

        with pytest.raises(MetadataCopyFailure):
            records.snapshots.copy_image_metadata("s1", from_volume="v1")
