# SPDX-License-Identifier: Apache-2.0
"""Rows of the tables of consistency groups, and how one is played through the bus.

In an answer ``A`` and ``B`` stand for the ids of the two members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.functional.cloud import Cloud

OF_OLD = {
    "create_group": "create_consistencygroup",
    "create_group_from_src": "create_consistencygroup_from_src",
    "delete_group": "delete_consistencygroup",
    "update_group": "update_consistencygroup",
    "create_group_snapshot": "create_cgsnapshot",
    "delete_group_snapshot": "delete_cgsnapshot",
}
"""The method of old for each of today; a driver's have the same names."""

KINDS = ("group", "consistencygroup")

NO_ANSWERS: list[Any] = [7, True, "text", {"status": "error"}, [], [None], [None] * 4]
NO_LISTS: list[Any] = [7, "text", {"id": "A"}, [7], ["A"], [{}], [{"status": "available"}]]
NO_ENTRIES: list[Any] = [
    {"id": "00000000-0000-0000-0000-00000000dead"},
    {"id": "A", "no_such_column": 1},
    {"id": "A", "project_id": "thief"},
    {"id": "A", "deleted": True},
    {"id": "A", "status": 7},
    {"id": "A", "provider_id": "x" * 300},
    {"id": "A", "provider_id": {"a": 1}},
]
NO_MODELS: list[Any] = [
    7,
    "text",
    ["A"],
    {"no_such_column": 1},
    {"host": "other"},
    {"name": "x" * 300},
]
RAISED = [
    "VolumeBackendAPIException",
    "VolumeIsBusy",
    "KeyError",
    "SystemExit",
    "KeyboardInterrupt",
]


@dataclass(frozen=True)
class Row:
    """A driver's behaviour, and its results.

    :param answer: its return value.
    :param group: status of the group, or of the group snapshot.
    :param members: statuses of the members A and B.
    """

    answer: Any
    group: str
    members: tuple[str, ...] = ()
    raises: str | None = None

    def plan(self, ids: dict[str, str]) -> dict[str, Any]:
        """Return the driver's plan."""
        return {"raise": self.raises} if self.raises else {"return": filled(self.answer, ids)}


def rows(*table: Row) -> list[Any]:
    """Return a table's rows as parameters with readable names."""
    named = [pytest.param(row, id=row.raises or f"{row.answer!r:.70}") for row in table]
    return [*named]


def raised(group: str, members: tuple[str, ...] = ()) -> list[Row]:
    """Return a row for each thing that may be raised."""
    return [Row(None, group, members, raises=name) for name in RAISED]


def rubbish(group: str, members: tuple[str, ...], lists: int) -> list[Row]:
    """Return a row for each answer that breaks the contract."""
    rest: list[Any] = [None] * (lists - 1)
    found = [answer for answer in NO_ANSWERS if not _is_whole(answer, lists)]
    found += [[None, one, *rest] for one in NO_LISTS]
    found += [[None, [one], *rest] for one in NO_ENTRIES]
    found += [[one, None, *rest] for one in NO_MODELS]
    return [Row(answer, group, members) for answer in found]


def _is_whole(answer: Any, lists: int) -> bool:
    return isinstance(answer, list) and len(answer) == lists + 1


def filled(answer: Any, ids: dict[str, str]) -> Any:
    """Put ids in the place of their names."""
    if isinstance(answer, dict):
        return {key: filled(value, ids) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [filled(one, ids) for one in answer]
    return ids.get(answer, answer) if isinstance(answer, str) else answer


@dataclass
class Group:
    """A group with two members, or a group snapshot with two, and their end."""

    cloud: Cloud
    record: Record
    members: list[Record]

    @property
    def ids(self) -> dict[str, str]:
        return dict(zip("AB", (member.id for member in self.members), strict=False))

    def play(self, method: str, row: Row, **args: Any) -> None:
        """Cast a method to a driver that behaves as a row says."""
        kind = self.record.kind
        name = method if kind in ("group", "group_snapshot") else OF_OLD[method]
        self.cloud.script.plan(**{OF_OLD[method]: row.plan(self.ids)})
        is_snapshot = kind in ("group_snapshot", "cgsnapshot")
        argument = kind if is_snapshot else "group"
        self.cloud.cast(name, **{argument: self.record, **args})
        self.cloud.wait_status(self.record, row.group)
        self.cloud.wait_idle()

    def stored(self) -> Record:
        """Return the row as it is now."""
        rows = getattr(self.cloud.records, f"{self.record.kind}s")
        return rows.get(self.record.id)  # type: ignore[no-any-return]

    def statuses(self) -> tuple[str, ...]:
        return tuple(self.cloud.status(member) for member in self.members)


def member_column(kind: str) -> str:
    """Return the column by which volumes name their group."""
    return f"{kind}_id"


def group_of_two(cloud: Cloud, kind: str, status: str, members: str, **more: Any) -> Group:
    """Insert a group with two volumes that are on the backend."""
    group = cloud.group(status, kind)
    column = {member_column(kind): group.id}
    volumes = [cloud.existing(members, **column, **more) for _ in "AB"]
    return Group(cloud, group, volumes)


def snapshot_of_two(cloud: Cloud, kind: str, status: str, *, made: bool = True) -> Group:
    """Insert a group of two volumes, and a snapshot of it with two snapshots."""
    whole = group_of_two(cloud, kind, "available", "available")
    snapshot = cloud.group_snapshot(whole.record, status)
    column = {"group_snapshot_id" if kind == "group" else "cgsnapshot_id": snapshot.id}
    make = cloud.existing_snapshot if made else cloud.snapshot
    members = [make(volume, status, **column) for volume in whole.members]
    return Group(cloud, snapshot, members)
