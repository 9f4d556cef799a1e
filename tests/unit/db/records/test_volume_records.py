# SPDX-License-Identifier: Apache-2.0
"""Volumes: rows, relations, statuses."""

from __future__ import annotations

import datetime

import pytest

from flows.errors import MetadataCopyFailure, StatusChanged, VolumeNotFound, VolumeTypeNotFound
from tests.unit.db.world import LONG_AGO
from worker.db.records import Records

WEIRD_IDS = ["", "x" * 37, "no-such", "a\0b", "' OR 1=1 --", "%", "\ud800", "V1", "v1 "]


class TestGet:
    def test_columns_and_names(self, records):
        volume = records.volumes.create(id="v1", host="h@b#p", size=3)

        assert volume.name == "volume-v1"
        assert (volume.name_id, volume["size"], volume.status) == ("v1", 3, "creating")
        assert volume.kind == "volume"

    def test_name_follows_the_name_id_of_a_migrated_volume(self, database):
        records = Records(database, volume_name_template="vol_%s")
        volume = records.volumes.create(id="v1", _name_id="other")

        assert (volume.name_id, volume.name) == ("other", "vol_other")

    @pytest.mark.parametrize("volume_id", WEIRD_IDS)
    def test_an_id_that_matches_nothing_is_not_found(self, records, volume_id):
        records.volumes.create(id="v1")

        with pytest.raises(VolumeNotFound):
            records.volumes.get(volume_id)

    @pytest.mark.parametrize("deleted", [True, None])
    def test_a_row_that_is_not_surely_live_is_not_found(self, records, tables, deleted):
        records.volumes.create(id="v1")
        tables.set("volumes", "v1", deleted=deleted)

        with pytest.raises(VolumeNotFound):
            records.volumes.get("v1")

    def test_values_come_back_as_they_were_written(self, records):
        values = {
            "display_name": "a'b\"c\\d\ne\tf\x01 größer %s :x",
            "provider_location": "",
            "bootable": True,
            "shared_targets": None,
            "launched_at": datetime.datetime(2026, 1, 2, 3, 4, 5),
            "size": 0,
        }
        created = records.volumes.create(id="v1", **values)
        read = records.volumes.get("v1")

        assert {name: read[name] for name in values} == values
        assert read.to_dict() == created.to_dict()
        assert read.bootable is True
        assert read.multiattach is False


class TestCreate:
    def test_defaults(self, records, tables):
        default = tables.row("volume_types", name="__DEFAULT__")
        volume = records.volumes.create()
        row = tables.row("volumes", id=volume.id)

        assert row["volume_type_id"] == default["id"]
        assert (row["deleted"], row["use_quota"], row["bootable"]) == (False, True, False)
        assert row["attach_status"] == "detached"
        assert row["created_at"] is not None
        assert row["updated_at"] is None

    def test_an_existing_row_is_returned_as_it_is(self, records):
        records.volumes.create(id="v1", size=1, metadata={"a": "b"})
        again = records.volumes.create(id="v1", size=2, metadata={"c": "d"})

        assert again.size == 1
        assert again.metadata == {"a": "b"}

    def test_without_the_default_type_nothing_is_written(self, records, tables):
        tables.set("volume_types", tables.row("volume_types")["id"], deleted=True)

        with pytest.raises(VolumeTypeNotFound, match="__DEFAULT__"):
            records.volumes.create(id="v1")
        assert tables.rows("volumes") == []

    def test_an_unknown_column_is_refused(self, records):
        with pytest.raises(ValueError, match="volumes.colour"):
            records.volumes.create(colour="red")


class TestUpdate:
    def test_sets_the_time_and_nothing_else(self, records, tables):
        records.volumes.create(id="v1", size=1, host="h@b")
        before = tables.row("volumes", id="v1")
        records.volumes.update("v1", provider_id="x")
        after = tables.row("volumes", id="v1")

        assert after.pop("updated_at") is not None
        before.pop("updated_at")
        assert after == {**before, "provider_id": "x"}

    def test_metadata_replaces_the_whole_set(self, records, tables):
        records.volumes.create(id="v1", metadata={"keep": "1", "change": "1", "drop": "1"})
        tables.add("volume_admin_metadata", volume_id="v1", key="readonly", value="True")
        wanted = {"keep": "1", "change": "2", "add": 3}
        records.volumes.update("v1", metadata=wanted)
        volume = records.volumes.get("v1")

        assert volume.metadata == {"keep": "1", "change": "2", "add": "3"}
        assert volume.admin_metadata == {"readonly": "True"}
        dropped = tables.row("volume_metadata", key="drop")
        assert dropped["deleted"] and dropped["deleted_at"]

    def test_a_set_that_does_not_fit_leaves_the_columns_alone(self, records):
        records.volumes.create(id="v1")

        with pytest.raises(ValueError, match="volume_metadata.value"):
            records.volumes.update("v1", provider_id="x", metadata={"a": "v" * 256})
        assert records.volumes.get("v1").provider_id is None

    @pytest.mark.parametrize("columns", [{"size": 2}, {"metadata": {"a": "b"}}])
    def test_a_missing_row_is_not_found(self, records, columns):
        with pytest.raises(VolumeNotFound):
            records.volumes.update("v1", **columns)

    def test_the_id_stays(self, records):
        records.volumes.create(id="v1")

        with pytest.raises(ValueError, match="volumes.id"):
            records.volumes.update("v1", id="v2")

    def test_no_columns_are_no_change(self, records, tables):
        records.volumes.create(id="v1")
        records.volumes.update("v1")

        assert tables.row("volumes", id="v1")["updated_at"] is None


class TestAdminMetadata:
    def test_set_leaves_the_others(self, records):
        records.volumes.create(id="v1", admin_metadata={"readonly": "True", "mode": "rw"})
        records.volumes.set_admin_metadata("v1", mode="ro", more="x")

        assert records.volumes.get("v1").admin_metadata == {
            "readonly": "True",
            "mode": "ro",
            "more": "x",
        }

    def test_pop_removes_one_key_and_may_be_repeated(self, records):
        records.volumes.create(id="v1", admin_metadata={"a": "1", "b": "2"})
        records.volumes.pop_admin_metadata("v1", "a")
        records.volumes.pop_admin_metadata("v1", "a")

        assert records.volumes.get("v1").admin_metadata == {"b": "2"}

    def test_a_removed_key_can_be_set_again(self, records):
        records.volumes.create(id="v1", admin_metadata={"a": "1"})
        records.volumes.pop_admin_metadata("v1", "a")
        records.volumes.set_admin_metadata("v1", a="2")

        assert records.volumes.get("v1").admin_metadata == {"a": "2"}


class TestImageMetadata:
    @pytest.mark.parametrize("source", ["volume", "snapshot"])
    def test_is_copied_once(self, records, tables, source):
        records.volumes.create(id="v1")
        records.volumes.create(id="v2")
        records.snapshots.create(id="s1", volume_id="v1")
        owner = {"volume_id": "v1"} if source == "volume" else {"snapshot_id": "s1"}
        tables.add("volume_glance_metadata", key="image_id", value="i" * 1000, **owner)
        for _ in range(2):
            records.volumes.copy_image_metadata("v2", **{f"from_{source}": list(owner.values())[0]})

        assert records.volumes.get("v2").glance_metadata == {"image_id": "i" * 1000}
        assert len(tables.rows("volume_glance_metadata", volume_id="v2")) == 1

    def test_another_value_is_never_overwritten(self, records, tables):
        for volume_id, value in (("v1", "old"), ("v2", "new")):
            records.volumes.create(id=volume_id)
            tables.add("volume_glance_metadata", volume_id=volume_id, key="image_id", value=value)

        with pytest.raises(MetadataCopyFailure, match="image_id"):
            records.volumes.copy_image_metadata("v2", from_volume="v1")
        assert records.volumes.get("v2").glance_metadata == {"image_id": "new"}


class TestTransition:
    def change(self, records, to="available", when=("creating",), **columns):
        records.volumes.transition("v1", to, when=when, done=True, **columns)

    def test_writes_status_columns_and_removes_the_work_row(self, records, tables):
        records.volumes.create(id="v1")
        records.workers.offer("Volume", "v1", "creating")
        self.change(records, launched_at=LONG_AGO, shared_targets=False, metadata={"a": "b"})
        volume = records.volumes.get("v1")

        assert (volume.status, volume.launched_at, volume.shared_targets) == (
            "available",
            LONG_AGO,
            False,
        )
        assert volume.metadata == {"a": "b"}
        assert tables.row("volumes", id="v1")["updated_at"] is not None
        assert tables.rows("workers", resource_type="Volume") == []

    def test_another_status_is_left_alone_and_named(self, records, tables):
        records.volumes.create(id="v1", status="deleting")
        records.workers.offer("Volume", "v1", "deleting")

        with pytest.raises(StatusChanged) as caught:
            self.change(records, when=("creating", "downloading"), size=9)
        assert str(caught.value) == "volume v1 is deleting, not creating or downloading"
        assert records.volumes.get("v1").size is None
        assert len(tables.rows("workers", resource_type="Volume")) == 1

    def test_a_second_time_counts_as_changed_although_time_went_on(self, records):
        records.volumes.create(id="v1")
        self.change(records, launched_at=LONG_AGO, shared_targets=False)
        later = LONG_AGO + datetime.timedelta(days=1)
        self.change(records, launched_at=later, shared_targets=False)

        assert records.volumes.get("v1").launched_at == LONG_AGO

    def test_the_same_status_with_other_columns_is_somebody_elses(self, records):
        records.volumes.create(id="v1", status="available", size=1)

        with pytest.raises(StatusChanged):
            self.change(records, size=2)
        assert records.volumes.get("v1").size == 1

    def test_to_the_same_status_when_allowed_writes_the_columns(self, records):
        records.volumes.create(id="v1", host="h@b#p")
        self.change(records, to="creating", when=("creating",), host=None)

        assert records.volumes.get("v1").host is None

    def test_a_missing_row_is_not_found(self, records):
        with pytest.raises(VolumeNotFound):
            self.change(records)
