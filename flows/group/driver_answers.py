# SPDX-License-Identifier: Apache-2.0
"""Interpret a driver's answer about a group and its members.

Source: seeds, VolumeConsistencyGroupDriver; spec/interfaces §5. A *verdict* is made
of an answer once and kept in the journal: so it is JSON.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from drivers.interface.records import Record
from flows.driver_calls import driver_contract
from flows.errors import DriverReturnedRubbish
from flows.statuses import GroupStatus, ReplicationStatus, SnapshotStatus, VolumeStatus

LOG = logging.getLogger(__name__)

ERRORS = (GroupStatus.ERROR, GroupStatus.ERROR_DELETING)

_PASSING = (GroupStatus.CREATING, GroupStatus.DELETING, GroupStatus.UPDATING)
"""Statuses in which nothing may stay when the operation has failed."""

_NOT_FAILED = (None, *_PASSING, VolumeStatus.AVAILABLE)
"""Statuses of members that are not stored when the creation of others has failed."""

_REPLICATION = "replication_status"
_REPLICATED = frozenset(ReplicationStatus) - {
    *(ReplicationStatus.ENABLING, ReplicationStatus.DISABLING, ReplicationStatus.FAILING_OVER),
}
"""Of replication, the statuses that are an end."""

_REMOVED = (None, VolumeStatus.DELETED, VolumeStatus.DELETING, *ERRORS)
"""Statuses of a member that a deletion has removed, or has failed to remove."""


class MemberUpdates(TypedDict):
    """The columns and statuses to write.

    :param failed: whether the operation has failed, though nothing was raised.
    :param columns: of the group's row.
    :param entries: columns of members, each with its ``id``.
    :param usable: the members that were made although the operation has failed; they
        become available.
    """

    failed: bool
    columns: dict[str, Any]
    entries: list[dict[str, Any]]
    usable: list[str]


def of_group(answer: Any, group: Record, call: str) -> MemberUpdates:
    """Interpret an answer about a group alone (§5.2)."""
    columns, status = _model(answer, group, call)
    return _verdict(columns, [], failed=status in ERRORS)


def of_created(answer: Any, group: Record, members: Sequence[Record], call: str) -> MemberUpdates:
    """Judge a creation from a source: whatever raised nothing has succeeded (§5.3)."""
    model, lists = _parts(answer, 1, group, call)
    columns, status = _model(model, group, call)
    entries = _entries(lists[0], members, group, call)
    failed = [f"{e['id']} {e['status']}" for e in entries or () if e.get("status") in ERRORS]
    if failed or status in ERRORS:
        # The contract says so: an operator has to hear of it.
        reported = ", ".join(([f"{group.kind} {status}"] if status in ERRORS else []) + failed)
        LOG.error(
            "%s of %s %s raised nothing, so it counts as done, but reported errors: %s",
            call,
            group.kind,
            group.id,
            reported,
        )
    return _verdict(columns, _without_status(entries))


def of_members(
    answer: Any, group: Record, members: Sequence[Record], call: str, *, deletes: bool
) -> MemberUpdates:
    """Interpret an answer about a group and each of its members (§5.4, §5.6, §5.7).

    A member in error puts the group into error; a deletion after which a member is
    there in whatever other status has failed as well.
    """
    model, lists = _parts(answer, 1, group, call)
    columns, status = _model(model, group, call)
    return verdict(columns, status, _entries(lists[0], members, group, call), deletes=deletes)


def of_replication(
    answer: Any, group: Record, members: Sequence[Record], call: str
) -> MemberUpdates:
    """Interpret an answer about the replication of a group and of its members.

    A ``replication_status`` of ``error`` in any place fails the operation. After a
    success the operation sets all statuses; after a failure a member keeps the status
    that the driver returned, unless that is a transient one.
    """
    model, lists = _parts(answer, 1, group, call)
    columns, _ = _model(model, group, call)
    entries = _entries(lists[0], members, group, call) or []
    statuses = [columns.pop(_REPLICATION, None), *(entry.get(_REPLICATION) for entry in entries)]
    if ReplicationStatus.ERROR not in statuses:
        plain = [{k: v for k, v in entry.items() if k != _REPLICATION} for entry in entries]
        return _verdict(columns, _without_status(plain))
    ended = [entry for entry in entries if entry.get(_REPLICATION) in _REPLICATED]
    kept = [{k: v for k, v in e.items() if k != "status" or v not in _PASSING} for e in ended]
    others = [
        {key: value for key, value in entry.items() if key != _REPLICATION}
        for entry in entries
        if entry.get(_REPLICATION) not in _REPLICATED
    ]
    return _verdict(columns, kept + _without_status(others), failed=True)


def of_update(
    answer: Any, group: Record, added: Sequence[Record], removed: Sequence[Record], call: str
) -> MemberUpdates:
    """Interpret an answer about a group and the members that joined and left (§5.5)."""
    model, lists = _parts(answer, 2, group, call)
    columns, status = _model(model, group, call)
    found: list[dict[str, Any]] = []
    for entries, members in zip(lists, (added, removed), strict=True):
        found += _entries(entries, members, group, call) or []
    return _verdict(columns, found, failed=status in ERRORS)


def verdict(
    columns: dict[str, Any],
    status: str | None,
    entries: list[dict[str, Any]] | None,
    *,
    deletes: bool,
) -> MemberUpdates:
    """Combine the answers; members without a final status end in ``error``.

    Columns of members are kept whatever became of them: the driver finds the objects by them.
    """
    for entry in entries or ():
        if entry.get("status") in ERRORS and status not in ERRORS:
            status = entry["status"]
    kept = [e for e in entries or () if deletes and _is_kept(e)]
    if status not in ERRORS and not kept:
        return _verdict(columns, _without_status(entries))
    left_out = (None, *_PASSING) if deletes else _NOT_FAILED
    written = [
        *(entry for entry in entries or () if entry.get("status") not in left_out),
        *_without_status(entry for entry in entries or () if entry.get("status") in left_out),
    ]
    made = [] if deletes else entries or ()
    usable = [entry["id"] for entry in made if entry.get("status") == VolumeStatus.AVAILABLE]
    return _verdict(columns, written, failed=True, usable=usable)


NOTHING: MemberUpdates = {"failed": False, "columns": {}, "entries": [], "usable": []}
"""The driver had nothing to say."""


def _verdict(
    columns: dict[str, Any],
    entries: list[dict[str, Any]],
    *,
    failed: bool = False,
    usable: Iterable[str] = (),
) -> MemberUpdates:
    return {"failed": failed, "columns": columns, "entries": entries, "usable": list(usable)}


def _is_kept(entry: Mapping[str, Any]) -> bool:
    return entry.get("status") not in _REMOVED


def _without_status(entries: Iterable[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    found = [{k: v for k, v in entry.items() if k != "status"} for entry in entries or ()]
    return [entry for entry in found if len(entry) > 1]


def _parts(answer: Any, lists: int, group: Record, call: str) -> tuple[Any, Sequence[Any]]:
    """Take a tuple apart; None alone stands for None in each place."""
    if answer is None:
        return None, (None,) * lists
    if not isinstance(answer, tuple | list) or len(answer) != lists + 1:
        shown = f"{type(answer).__name__} {answer!r:.80}"
        wanted = f"an update and {lists} list{'s' if lists > 1 else ''} of updates"
        raise DriverReturnedRubbish(f"{call} of {group.kind} {group.id} returned {shown}: {wanted}")
    return answer[0], answer[1:]


def _model(answer: Any, group: Record, call: str) -> tuple[dict[str, Any], str | None]:
    if answer is None:
        return {}, None
    update, status = _apart(answer, group, f"{call} of {group.kind} {group.id}")
    return driver_contract.model_update(update, group, call), status


def _entries(
    answer: Any, members: Sequence[Record], group: Record, call: str
) -> list[dict[str, Any]] | None:
    """Return the checked entries of a list; None where there is no list."""
    if answer is None:
        return None
    who = f"{call} of {group.kind} {group.id}"
    if not isinstance(answer, list | tuple):
        raise DriverReturnedRubbish(f"{who} returned a {type(answer).__name__}, not a list")
    known = {member.id: member for member in members}
    found = []
    for entry in answer:
        if not isinstance(entry, Mapping) or entry.get("id") not in known:
            shown = f"{entry!r:.80}"
            raise DriverReturnedRubbish(f"{who} returned {shown}, which has no member's id")
        member = known[entry["id"]]
        columns, status = _apart(entry, member, who)
        columns = driver_contract.model_update(columns, member, call)
        if status is not None:
            columns["status"] = status
        found.append({"id": member.id, **columns})
    return found


def _apart(entry: Any, resource: Record, who: str) -> tuple[Any, str | None]:
    """Part a status from the other columns, and see that all of it is the driver's own."""
    if isinstance(entry, Record):
        raise DriverReturnedRubbish(f"{who} returned the record of {resource.id} as an update")
    if not isinstance(entry, Mapping):
        return entry, None
    status = entry.get("status")
    if status is not None and not isinstance(status, str):
        raise DriverReturnedRubbish(f"{who} returned the status {status!r:.40} for {resource.id}")
    if resource.kind == "snapshot" and status not in (None, *SnapshotStatus):
        raise DriverReturnedRubbish(f"{who} returned {status!r:.40} for snapshot {resource.id}")
    try:
        json.dumps(dict(entry))
    except (TypeError, ValueError) as error:
        raise DriverReturnedRubbish(f"{who} returned unusable values: {error}") from error
    return {key: value for key, value in entry.items() if key != "status"}, status
