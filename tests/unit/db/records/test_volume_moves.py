# SPDX-License-Identifier: Apache-2.0
"""Volumes that change type or backend: two rows, snapshots and quota at once."""

from __future__ import annotations

import uuid

import pytest

from flows.errors import InvalidVolume, VolumeTypeNotFound
from tests.unit.db.world import LONG_AGO, PROJECT

HERE = {"host": "h@a#p", "availability_zone": "near", "provider_id": "old", "shared_targets": True}
THERE = {"host": "h@b#q", "availability_zone": "far", "provider_id": "new", "shared_targets": False}


@pytest.fixture
def pair(records, tables):
    """A volume whose migration is completing, and its copy."""
    old, new = tables.volume_type("old"), tables.volume_type("new")
    records.volumes.create(
        id="v1",
        status="retyping",
        previous_status="available",
        migration_status="completing",
        project_id=PROJECT,
        display_name="mine",
        display_description="of me",
        volume_type_id=old,
        provider_location="there already",
        metadata={"a": "1"},
        size=3,
        **HERE,
    )
    records.volumes.create(
        id="v2",
        status="available",
        migration_status="target:v1",
        project_id=PROJECT,
        use_quota=False,
        display_name="mine, as it was called",
        volume_type_id=new,
        provider_location="the old one's",
        size=3,
        **THERE,
    )
    return old, new


class TestSwap:
    def test_the_volume_is_what_the_copy_was(self, records, pair):
        records.volumes.swap("v1", "v2", "available")
        volume = records.volumes.get("v1")

        assert {name: volume[name] for name in THERE} == THERE
        assert (volume.status, volume.previous_status) == ("available", "available")
        assert (volume.migration_status, volume.volume_type_id) == ("success", pair[1])
        assert volume.provider_location == "there already"
        assert (volume.display_name, volume.display_description) == ("mine", "of me")
        assert volume.use_quota is True
        assert dict(volume.metadata) == {"a": "1"}

    def test_the_copy_is_what_the_volume_was_and_is_to_go(self, records, pair):
        records.volumes.swap("v1", "v2", "available")
        copy = records.volumes.get("v2")

        assert {name: copy[name] for name in HERE} == HERE
        assert (copy.status, copy.migration_status) == ("deleting", "deleting")
        assert copy.name == "volume-v1"
        assert copy.display_description == "migration src for v1"
        assert copy.use_quota is False
        assert copy.provider_location == "the old one's"

    def test_a_name_that_the_copy_has_already_stays(self, records, pair):
        records.volumes.update("v2", _name_id="v0")
        records.volumes.swap("v1", "v2", "available")

        assert records.volumes.get("v2").name == "volume-v0"

    def test_a_second_try_changes_nothing(self, records, pair):
        records.volumes.swap("v1", "v2", "available")
        before = [records.volumes.get(one).to_dict() for one in ("v1", "v2")]
        records.volumes.swap("v1", "v2", "available")

        assert [records.volumes.get(one).to_dict() for one in ("v1", "v2")] == before

    def test_attachments_of_the_copy_are_the_volumes(self, records, tables, pair):
        mine = records.attachments.create(volume_id="v2", attach_status="attached")
        gone = tables.add("volume_attachment", volume_id="v2", deleted=True)
        records.volumes.swap("v1", "v2", "in-use")

        assert [a.id for a in records.volumes.get("v1").volume_attachment] == [mine.id]
        assert tables.row("volume_attachment", id=gone)["volume_id"] == "v2"

    def test_quota_is_used_in_the_same_moment_and_once(self, records, tables, pair):
        held = records.quotas.reserve(PROJECT, {"gigabytes": 3})
        tables.use(PROJECT, other=1)
        for _ in range(2):
            records.volumes.swap("v1", "v2", "available", commit=held)

        assert tables.used()["gigabytes"] == (6, 0)  # 3 were counted when it was reserved

    @pytest.mark.parametrize(
        ("volume", "copy"),
        [
            ("migrating", "target:v1"),
            ("completing", "target:v9"),
            ("completing", "deleting"),
            (None, "target:v1"),
            ("completing", None),
        ],
    )
    def test_rows_that_are_no_such_pair_stay_as_they_are(self, records, pair, volume, copy):
        records.volumes.update("v1", migration_status=volume)
        records.volumes.update("v2", migration_status=copy)
        with pytest.raises(InvalidVolume):
            records.volumes.swap("v1", "v2", "available")

        found = [records.volumes.get(one) for one in ("v1", "v2")]
        assert [row.host for row in found] == [HERE["host"], THERE["host"]]
        assert [row.migration_status for row in found] == [volume, copy]


class TestMigrate:
    def test_a_compare_and_set(self, records, pair):
        records.volumes.migrate("v1", "error", when=("starting", "completing"))

        assert records.volumes.get("v1").migration_status == "error"

    def test_one_that_is_so_already_is_as_good(self, records, pair):
        records.volumes.migrate("v1", "completing", when=("migrating",))

    @pytest.mark.parametrize("found", [None, "success", "starting"])
    def test_another_one_is_named(self, records, pair, found):
        records.volumes.update("v1", migration_status=found)
        with pytest.raises(InvalidVolume, match=f"is {found}, not migrating"):
            records.volumes.migrate("v1", "error", when=("migrating",))

    def test_from_none_at_all(self, records, pair):
        records.volumes.update("v1", migration_status=None)
        records.volumes.migrate("v1", "starting", when=(None, "success"))

        assert records.volumes.get("v1").migration_status == "starting"


class TestType:
    def test_snapshots_follow(self, records, tables, pair):
        mine, other = (
            tables.add("snapshots", volume_id=one, volume_type_id=pair[0], use_quota=True)
            for one in ("v1", "v2")
        )
        gone = tables.add(
            "snapshots", volume_id="v1", volume_type_id=pair[0], use_quota=True, deleted=True
        )
        when = ("retyping",)
        records.volumes.transition("v1", "available", when=when, volume_type_id=pair[1])

        assert records.volumes.get("v1").volume_type_id == pair[1]
        types = [tables.row("snapshots", id=one)["volume_type_id"] for one in (mine, other, gone)]
        assert types == [pair[1], pair[0], pair[0]]

    def test_of_a_row_as_it_was(self, records):
        records.volumes.create(id="v1", _name_id="other", provider_id="new")
        before = records.volumes.with_columns("v1", _name_id=None, provider_id="old")

        assert (before.name, before.provider_id) == ("volume-v1", "old")
        assert records.volumes.current("v1").name == "volume-other"


class TestDiff:
    def test_what_differs_by_part(self, records, tables):
        old, new = tables.volume_type("old"), tables.volume_type("new")
        for one, specs in ((old, {"a": "1", "b": "1"}), (new, {"a": "1", "b": "2", "c": "3"})):
            for key, value in specs.items():
                tables.add("volume_type_extra_specs", volume_type_id=one, key=key, value=value)
        qos(tables, new, "front-end", total_iops_sec="5")
        tables.add(
            "encryption",
            encryption_id=str(uuid.uuid4()),
            volume_type_id=new,
            provider="luks",
            cipher="aes",
            key_size=256,
            control_location="front-end",
        )

        assert records.volume_types.diff(old, new) == {
            "extra_specs": {"b": ["1", "2"], "c": [None, "3"]},
            "qos_specs": {"consumer": [None, "front-end"], "total_iops_sec": [None, "5"]},
            "encryption": {
                "provider": [None, "luks"],
                "cipher": [None, "aes"],
                "key_size": [None, 256],
                "control_location": [None, "front-end"],
            },
        }

    def test_equal_ones(self, records, tables):
        old, new = tables.volume_type("old"), tables.volume_type("new")
        for one in (old, new):
            qos(tables, one, "both", total_iops_sec="5")

        nothing = {"extra_specs": {}, "qos_specs": {}, "encryption": {}}
        assert records.volume_types.diff(old, new) == nothing

    def test_no_such_new_type(self, records, tables):
        with pytest.raises(VolumeTypeNotFound):
            records.volume_types.diff(tables.volume_type("old"), "no-such")


def qos(tables, type_id, consumer, **specs):
    table = "quality_of_service_specs"
    root = tables.add(table, key="QoS_Specs_Name", value="fast")
    for key, value in {"consumer": consumer, **specs}.items():
        tables.add(table, specs_id=root, key=key, value=value)
    tables.set("volume_types", type_id, qos_specs_id=root)


def test_the_service_of_a_host(records, tables):
    row = {"topic": "cinder-volume", "report_count": 0, "created_at": LONG_AGO}
    tables.add("services", host="h@b", binary="cinder-volume", availability_zone="z", **row)
    tables.add("services", host="h@c", binary="cinder-backup", **row)

    assert records.services.serving("h@b#pool").availability_zone == "z"
    assert records.services.serving("h@c#pool") is None
