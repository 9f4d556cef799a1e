# SPDX-License-Identifier: Apache-2.0
"""Every rule of the seed on consistency groups, through the bus, checked in the database.

Source: seeds, VolumeConsistencyGroupDriver; spec/interfaces §5. Each table is played
for the RPC of today, on a group whose type is consistent, and for that of old.
"""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from tests.functional.cloud import Cloud
from tests.functional.operations.groups.rows import (
    KINDS,
    NO_MODELS,
    Group,
    Row,
    group_of_two,
    member_column,
    raised,
    rows,
    rubbish,
    snapshot_of_two,
)

pytestmark = pytest.mark.parametrize("kind", KINDS)

ALL_ERROR = ("error", "error")
GONE = ("gone", "gone")
AVAILABLE = ("available", "available")
ENTRY: dict[str, Any] = {"id": "A", "provider_id": "there"}
BOTH = [{"id": "A", "status": "available"}, {"id": "B", "status": "available"}]

CREATE = rows(
    Row(None, "available"),
    Row({}, "available"),
    Row({"status": "available"}, "available"),
    Row({"description": "noted"}, "available"),
    Row({"status": "creating"}, "available"),
    Row({"status": "updating"}, "available"),
    Row({"status": "deleted"}, "available"),
    Row({"status": "error"}, "error"),
    Row({"status": "error", "description": "noted"}, "error"),
    Row({"status": "error_deleting"}, "error"),
    *(Row(model, "error") for model in NO_MODELS),
    *raised("error"),
)

FROM_SOURCE = rows(
    Row(None, "available", AVAILABLE),
    Row([None, None], "available", AVAILABLE),
    Row([{}, []], "available", AVAILABLE),
    Row([{"status": "available"}, BOTH], "available", AVAILABLE),
    Row([{"description": "noted"}, [ENTRY]], "available", AVAILABLE),
    Row([{"status": "creating"}, [{"id": "A", "status": "creating"}]], "available", AVAILABLE),
    # The letter of the seed: a call that raises nothing succeeded (spec/interfaces §9, no. 4).
    Row([{"status": "error"}, None], "available", AVAILABLE),
    Row([{"status": "error_deleting"}, None], "available", AVAILABLE),
    Row([None, [{"id": "A", "status": "error"}]], "available", AVAILABLE),
    Row([{"status": "error"}, [{"id": "B", "status": "error"}]], "available", AVAILABLE),
    *rubbish("error", ALL_ERROR, lists=1),
    *raised("error", ALL_ERROR),
)

DELETE = rows(
    Row(None, "gone", GONE),
    Row([None, None], "gone", GONE),
    Row([{}, []], "gone", GONE),
    Row([{"status": "deleted"}, None], "gone", GONE),
    Row([{"status": "deleting"}, [{"id": "A", "status": "deleting"}]], "gone", GONE),
    Row([{"status": "available"}, None], "gone", GONE),
    Row([{"description": "noted"}, [ENTRY]], "gone", GONE),
    Row(
        [
            {"status": "deleted"},
            [{"id": "A", "status": "deleted"}, {"id": "B", "status": "deleted"}],
        ],
        "gone",
        GONE,
    ),
    # Also the member that it did not mention.
    Row([{"status": "deleted"}, [{"id": "A", "status": "deleted"}]], "gone", GONE),
    # A member's error becomes the group's, whatever the group's was.
    Row([None, [{"id": "A", "status": "error"}]], "error", ALL_ERROR),
    Row([{}, [{"id": "A", "status": "error_deleting"}]], "error", ("error_deleting", "error")),
    Row(
        [{"status": "deleted"}, [{"id": "A", "status": "deleted"}, {"id": "B", "status": "error"}]],
        "error",
        ("deleted", "error"),
    ),
    Row(
        [
            {"status": "available"},
            [{"id": "A", "status": "deleted"}, {"id": "B", "status": "error_deleting"}],
        ],
        "error",
        ("deleted", "error_deleting"),
    ),
    Row(
        [None, [{"id": "A", "status": "error_deleting"}, {"id": "B", "status": "error"}]],
        "error",
        ("error_deleting", "error"),
    ),
    Row(
        [{"status": "error"}, [{"id": "B", "status": "error_deleting"}]],
        "error",
        ("error", "error_deleting"),
    ),
    # The group's error without a list: every member's.
    Row([{"status": "error"}, None], "error", ALL_ERROR),
    Row([{"status": "error_deleting"}, None], "error", ALL_ERROR),
    # With a list: as it says, and error for whom it leaves out.
    Row([{"status": "error"}, []], "error", ALL_ERROR),
    Row([{"status": "error"}, [{"id": "A", "status": "deleted"}]], "error", ("deleted", "error")),
    Row(
        [
            {"status": "error_deleting"},
            [{"id": "A", "status": "deleted"}, {"id": "B", "status": "deleted"}],
        ],
        "error",
        ("deleted", "deleted"),
    ),
    Row([{"status": "error"}, [{"id": "A", "status": "deleting"}]], "error", ALL_ERROR),
    Row([{"status": "error"}, [{"id": "A", "status": "creating"}]], "error", ALL_ERROR),
    Row([{"status": "error"}, [ENTRY]], "error", ALL_ERROR),
    # A member that is still there was not deleted.
    Row([None, [{"id": "A", "status": "available"}]], "error", ("available", "error")),
    Row([{"status": "deleted"}, [{"id": "A", "status": "in-use"}]], "error", ("in-use", "error")),
    *rubbish("error", ALL_ERROR, lists=1),
    *raised("error", ALL_ERROR),
)

STAY = ("available", "in-use")
UPDATE = rows(
    Row(None, "available", STAY),
    Row([None, None, None], "available", STAY),
    Row([{}, [], []], "available", STAY),
    Row([{"status": "available"}, None, None], "available", STAY),
    Row([{"status": "updating"}, None, None], "available", STAY),
    Row([{"description": "noted"}, None, None], "available", STAY),
    Row([None, [ENTRY], None], "available", STAY),
    Row([None, [{"id": "A", "status": "error"}], None], "available", ("error", "in-use")),
    Row([None, None, [{"id": "B", "status": "available"}]], "available", AVAILABLE),
    Row(
        [None, [{"id": "A", "status": "in-use"}], [{"id": "B", "status": "error"}]],
        "available",
        ("in-use", "error"),
    ),
    Row([{"status": "error"}, None, None], "error", ALL_ERROR),
    Row([{"status": "error_deleting"}, None, None], "error", ALL_ERROR),
    Row([{"status": "error"}, [{"id": "A", "status": "available"}], None], "error", ALL_ERROR),
    # Of the other list: not one of those that join.
    Row([None, [{"id": "B", "status": "available"}], None], "error", ALL_ERROR),
    Row([None, None, [{"id": "A", "status": "available"}]], "error", ALL_ERROR),
    *rubbish("error", ALL_ERROR, lists=2),
    *raised("error", ALL_ERROR),
)

CREATE_SNAPSHOT = rows(
    Row(None, "available", AVAILABLE),
    Row([None, None], "available", AVAILABLE),
    Row([{}, []], "available", AVAILABLE),
    Row([{"status": "available"}, BOTH], "available", AVAILABLE),
    Row([{"status": "creating"}, [{"id": "A", "status": "creating"}]], "available", AVAILABLE),
    Row([{"description": "noted"}, [ENTRY]], "available", AVAILABLE),
    # Also the snapshot that it did not mention.
    Row([None, [{"id": "A", "status": "available"}]], "available", AVAILABLE),
    Row([None, [{"id": "A", "status": "error"}]], "error", ALL_ERROR),
    Row(
        [{"status": "available"}, [{"id": "A", "status": "error"}, BOTH[1]]],
        "error",
        ("error", "available"),
    ),
    Row([{}, [BOTH[0], {"id": "B", "status": "error"}]], "error", ("available", "error")),
    Row([None, [{"id": "A", "status": "error_deleting"}]], "error", ("error_deleting", "error")),
    Row([{"status": "error"}, None], "error", ALL_ERROR),
    Row([{"status": "error_deleting"}, None], "error", ALL_ERROR),
    Row([{"status": "error"}, []], "error", ALL_ERROR),
    Row([{"status": "error"}, [BOTH[0]]], "error", ("available", "error")),
    Row([{"status": "error"}, [{"id": "A", "status": "creating"}]], "error", ALL_ERROR),
    Row([{"status": "error"}, [{"id": "A", "status": "deleting"}]], "error", ALL_ERROR),
    Row([{"status": "error"}, [ENTRY]], "error", ALL_ERROR),
    # No snapshot may be in such a status.
    Row([None, [{"id": "A", "status": "busy"}]], "error", ALL_ERROR),
    *rubbish("error", ALL_ERROR, lists=1),
    *raised("error", ALL_ERROR),
)

DELETE_SNAPSHOT = rows(
    Row(None, "gone", GONE),
    Row([None, None], "gone", GONE),
    Row([{}, []], "gone", GONE),
    Row([{"status": "deleted"}, [{"id": "A", "status": "deleted"}]], "gone", GONE),
    Row([{"status": "deleting"}, [{"id": "A", "status": "deleting"}]], "gone", GONE),
    Row([{"status": "available"}, None], "gone", GONE),
    Row([{}, [ENTRY]], "gone", GONE),
    Row([None, [{"id": "A", "status": "error"}]], "error", ALL_ERROR),
    Row([{}, [{"id": "A", "status": "error_deleting"}]], "error", ("error_deleting", "error")),
    Row(
        [
            {"status": "deleted"},
            [{"id": "A", "status": "deleted"}, {"id": "B", "status": "error_deleting"}],
        ],
        "error",
        ("deleted", "error_deleting"),
    ),
    Row([{"status": "error"}, None], "error", ALL_ERROR),
    Row([{"status": "error_deleting"}, None], "error", ALL_ERROR),
    Row([{"status": "error"}, []], "error", ALL_ERROR),
    Row([{"status": "error"}, [{"id": "A", "status": "deleted"}]], "error", ("deleted", "error")),
    Row([None, [{"id": "A", "status": "available"}]], "error", ("available", "error")),
    *rubbish("error", ALL_ERROR, lists=1),
    *raised("error", ALL_ERROR),
)


@pytest.mark.parametrize("row", CREATE)
def test_create(cloud: Cloud, kind: str, row: Row) -> None:
    long_ago = datetime.datetime(2020, 1, 1)
    group = Group(cloud, cloud.group("creating", kind, created_at=long_ago), [])
    group.play("create_group", row)
    stored = group.stored()

    told = row.answer if row.group == "available" and row.answer else {}
    assert stored.description == told.get("description")
    assert (stored.created_at > long_ago) == (row.group == "available")


@pytest.mark.parametrize("row", DELETE)
def test_delete(cloud: Cloud, kind: str, row: Row) -> None:
    group = group_of_two(cloud, kind, "deleting", "deleting")
    group.play("delete_group", row)

    assert group.statuses() == row.members


@pytest.mark.parametrize("row", UPDATE)
def test_update(cloud: Cloud, kind: str, row: Row) -> None:
    group = group_of_two(cloud, kind, "updating", "available")
    joins, leaves = group.members
    column = member_column(kind)
    cloud.records.volumes.update(joins.id, **{column: None})
    cloud.records.volumes.update(leaves.id, status="in-use")
    group.play("update_group", row, add_volumes=joins.id, remove_volumes=leaves.id)

    assert group.statuses() == row.members
    members = [cloud.records.volumes.get(volume.id)[column] for volume in (joins, leaves)]
    wanted = [group.record.id, None] if row.group == "available" else [None, group.record.id]
    assert members == wanted


@pytest.mark.parametrize("row", CREATE_SNAPSHOT)
def test_create_snapshot(cloud: Cloud, kind: str, row: Row) -> None:
    snapshot = snapshot_of_two(cloud, kind, "creating", made=False)
    snapshot.play("create_group_snapshot", row)

    assert snapshot.statuses() == row.members
    progress = [cloud.records.snapshots.get(one.id).progress for one in snapshot.members]
    assert progress == ["100%" if status == "available" else "0%" for status in row.members]


@pytest.mark.parametrize("row", DELETE_SNAPSHOT)
def test_delete_snapshot(cloud: Cloud, kind: str, row: Row) -> None:
    snapshot = snapshot_of_two(cloud, kind, "deleting")
    snapshot.play("delete_group_snapshot", row)

    assert snapshot.statuses() == row.members


@pytest.mark.parametrize("row", FROM_SOURCE)
@pytest.mark.parametrize("source", ["snapshot", "group"])
def test_create_from(cloud: Cloud, kind: str, source: str, row: Row) -> None:
    if source == "snapshot":
        origin = snapshot_of_two(cloud, kind, "available")
        link, argument = "snapshot_id", "group_snapshot" if kind == "group" else "cgsnapshot"
    else:
        origin = group_of_two(cloud, kind, "available", "available")
        link, argument = "source_volid", "source_group" if kind == "group" else "source_cg"
    new = group_of_two(cloud, kind, "creating", "creating")
    for volume, one in zip(new.members, reversed(origin.members), strict=True):
        cloud.script.remove(volume.name)
        cloud.records.volumes.update(volume.id, **{link: one.id})
    new.play("create_group_from_src", row, **{argument: origin.record})

    assert new.statuses() == row.members
    assert origin.statuses() == AVAILABLE
