# SPDX-License-Identifier: Apache-2.0
"""Rows as Cinder's services expect to read them, compared with theirs."""

from __future__ import annotations

import datetime

import pytest

from drivers.interface.records import Record
from tests.unit.rpc.samples import SAMPLES, of, primitives
from worker.rpc import codec, objects

MESSAGES = [[sample.message["args"], sample.reply] for sample in SAMPLES]


def sent(name):
    """Return every object of a class that Cinder sent."""
    return list(primitives(MESSAGES, name))


def row(primitive):
    """Return the database row and relations from which an object was made."""
    if primitive is None:
        return None
    fields = {name: codec.decode(v) for name, v in primitive["versioned_object.data"].items()}
    for name, value in fields.items():
        if isinstance(value, codec.WireList):
            fields[name] = [row(entry.raw) for entry in value]
        elif isinstance(value, codec.WireObject):
            fields[name] = row(value.raw)
        elif name.endswith("_at") and value:
            fields[name] = datetime.datetime.fromisoformat(value).replace(tzinfo=None)
    return Record("row", fields)


def without(primitive, *names):
    """Return an object without relations that a row has not."""
    data = {k: v for k, v in primitive["versioned_object.data"].items() if k not in names}
    data = {k: without(v) if codec.is_object(v) else v for k, v in data.items()}
    return {
        key: data if key.endswith("data") else value
        for key, value in primitive.items()
        if not key.endswith("changes")
    }


def complete(name, field):
    return [p for p in sent(name) if field in p["versioned_object.data"]]


@pytest.mark.parametrize("primitive", complete("Volume", "size"))
def test_a_volume_is_what_cinder_sends(primitive):
    # Snapshots and the group are relations that a volume's row does not bring along.
    plain = without(primitive, "snapshots", "group")

    assert objects.volume(row(plain)) == plain


@pytest.mark.parametrize("primitive", complete("Snapshot", "status"))
def test_a_snapshot_is_what_cinder_sends(primitive):
    plain = without(primitive, "volume")

    assert objects.snapshot(row(plain)) == plain


@pytest.mark.parametrize("primitive", complete("VolumeAttachment", "attach_status"))
def test_an_attachment_is_what_cinder_sends(primitive):
    plain = without(primitive, "volume")

    assert objects.attachment(row(plain)) == plain


@pytest.mark.parametrize("primitive", sent("VolumeType"))
def test_a_volume_type_is_what_cinder_sends(primitive):
    plain = without(primitive, "projects")

    assert objects.volume_type(row(plain)) == plain


@pytest.mark.parametrize("primitive", sent("Service"))
def test_a_service_is_what_cinder_sends(primitive):
    assert objects.service(row(primitive)) == without(primitive)


@pytest.mark.parametrize("primitive", complete("Group", "status"))
def test_a_group_is_what_cinder_sends(primitive):
    # Types, volumes and snapshots are relations that a receiver reads by itself.
    plain = without(primitive, "volume_types", "volumes", "group_snapshots")
    # A sender that has not looked for the types says None.
    plain["versioned_object.data"]["volume_type_ids"] = ["t1"]

    assert objects.group(row(plain)) == plain


@pytest.mark.parametrize("primitive", complete("GroupSnapshot", "status"))
def test_a_group_snapshot_is_what_cinder_sends(primitive):
    plain = without(primitive, "group", "snapshots")

    assert objects.group_snapshot(row(plain)) == plain


@pytest.mark.parametrize("method", ["get_manageable_volumes", "get_manageable_snapshots"])
def test_what_is_manageable_is_what_cinder_answers(method):
    answer = of(method).reply["result"]
    make = objects.manageable_volume if "volumes" in method else objects.manageable_snapshot

    assert [make(entry["versioned_object.data"]) for entry in answer] == answer


def test_groups_of_old_have_objects_of_their_own():
    group = {"id": "g1", "volume_type_id": "t1,", "status": "creating", "source_cgid": None}
    snapshot = {"id": "c1", "consistencygroup_id": "g1", "status": "creating"}

    assert objects.group(group)["versioned_object.name"] == "ConsistencyGroup"
    made = objects.group_snapshot(snapshot)
    assert made["versioned_object.name"] == "CGSnapshot"
    assert made["versioned_object.data"]["consistencygroup_id"] == "g1"


def test_the_samples_hold_each_of_these():
    names = ("Volume", "Snapshot", "VolumeAttachment", "VolumeType", "Service")
    names += ("Group", "GroupSnapshot")

    assert all(sent(name) for name in names)


def test_log_levels_are_what_cinder_answers():
    answer = of("get_log_levels").reply["result"]
    levels = {entry.prefix: entry.level for entry in codec.decode(answer)}

    assert objects.log_levels(levels) == answer


def test_a_request_for_log_levels_is_what_cinder_sends():
    request = of("get_log_levels").message["args"]["log_request"]

    assert objects.log_level("cinder.volume") == request


def test_times_are_utc_in_whole_seconds():
    east = datetime.timezone(datetime.timedelta(hours=2))
    made = objects.attachment(
        {
            "id": "a",
            "attach_time": datetime.datetime(2026, 1, 2, 3, 4, 5, 678),
            "created_at": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=east),
            "updated_at": "2026-01-02T03:04:05.678901",
            "deleted_at": "2026-01-02T03:04:05Z",
        }
    )["versioned_object.data"]

    assert made["attach_time"] == made["updated_at"] == made["deleted_at"] == "2026-01-02T03:04:05Z"
    assert made["created_at"] == "2026-01-02T01:04:05Z"


def test_json_columns_become_mappings():
    made = objects.attachment({"id": "a", "connector": '{"host": "h"}'})

    assert made["versioned_object.data"]["connector"] == {"host": "h"}
    assert made["versioned_object.data"]["connection_info"] is None


def test_numbers_of_a_database_become_truth_values():
    stored = {"id": "v", "deleted": 0, "multiattach": 1, "use_quota": 0, "shared_targets": 0}

    data = objects.volume(stored)["versioned_object.data"]

    assert (
        data["deleted"] is data["use_quota"] is data["shared_targets"] is data["bootable"] is False
    )
    assert data["multiattach"] is True
    assert objects.volume({"id": "v"})["versioned_object.data"]["shared_targets"] is None


def test_relations_that_a_row_has_not_are_left_to_the_receiver():
    data = objects.volume({"id": "v"})["versioned_object.data"]

    assert not {"metadata", "admin_metadata", "volume_type", "volume_attachment"} & data.keys()


def test_an_older_receiver_gets_older_objects():
    volume = objects.volume({"id": "v", "use_quota": True}, cap="1.38")
    snapshot = objects.snapshot({"id": "s", "use_quota": True}, cap="1.38")

    assert volume["versioned_object.version"] == "1.8"
    assert snapshot["versioned_object.version"] == "1.5"
    assert "use_quota" not in volume["versioned_object.data"]
    assert "use_quota" not in snapshot["versioned_object.data"]
    assert len(snapshot["versioned_object.data"]) > 15


@pytest.mark.parametrize("cap", ["1.0", "1.37", "1.40", ""])
def test_an_unknown_cap_is_refused(cap):
    with pytest.raises(ValueError, match="only of 1.38, 1.39"):
        objects.volume({"id": "v"}, cap=cap)


def test_nothing_attached_is_nothing():
    assert objects.attachment(None) is None
    assert objects.attachments(None)["versioned_object.data"] == {"objects": []}
