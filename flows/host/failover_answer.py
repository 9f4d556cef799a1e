# SPDX-License-Identifier: Apache-2.0
"""Validate a driver's answer to a failover.

The backend has moved by then: so the valid parts of an answer are used, and the others
are logged. A *moved* is kept in the journal: so it is JSON.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict

from drivers.interface.records import Record
from flows.driver_calls import driver_contract
from flows.errors import DriverReturnedRubbish
from flows.statuses import GroupStatus, VolumeStatus

LOG = logging.getLogger(__name__)

_STATUSES: Mapping[str, Collection[str]] = {
    "volume": {
        *(VolumeStatus.AVAILABLE, VolumeStatus.IN_USE, VolumeStatus.ERROR),
        *(VolumeStatus.MAINTENANCE, VolumeStatus.RESERVED),
    },
    "group": {GroupStatus.AVAILABLE, GroupStatus.ERROR},
}
"""Those that a driver may give; of groups Cinder cannot read any other."""

_FAILED = {"volume": VolumeStatus.ERROR, "group": GroupStatus.ERROR}


class Moved(TypedDict):
    """The columns to write.

    :param active: the target that is used now.
    :param volumes: for each volume that is replicated its ``id`` and ``columns``.
    :param groups: the same of groups.
    """

    active: str
    volumes: list[dict[str, Any]]
    groups: list[dict[str, Any]]


def of(answer: Any, volumes: Sequence[Record], groups: Sequence[Record], host: str) -> Moved:
    """Read an answer of ``failover_host``.

    :raises DriverReturnedRubbish: it does not even say where the backend is.
    """
    who = f"failover_host of {host}"
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        shown = f"{type(answer).__name__} {answer!r:.80}"
        raise DriverReturnedRubbish(f"{who} returned {shown}, not a target and two lists")
    active, of_volumes, of_groups = answer
    if not isinstance(active, str | None):
        raise DriverReturnedRubbish(f"{who} returned the target {active!r:.80}, not a name")
    return {
        "active": active or "",
        "volumes": _entries(of_volumes, volumes, "volume", who),
        "groups": _entries(of_groups, groups, "group", who),
    }


def _entries(answer: Any, rows: Sequence[Record], kind: str, who: str) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {row.id: {} for row in rows}
    by_id = {row.id: row for row in rows}
    if not isinstance(answer, list | tuple | None):
        raise DriverReturnedRubbish(
            f"{who} returned a {type(answer).__name__}, not a list of {kind}s"
        )
    for entry in answer or ():
        if not isinstance(entry, Mapping) or f"{kind}_id" not in entry:
            raise DriverReturnedRubbish(f"{who} returned {entry!r:.80}, without {kind}_id")
        row = by_id.get(entry[f"{kind}_id"])
        if row is None:
            LOG.error("%s returned %s %s, which it was not asked for", who, kind, entry)
            continue
        found[row.id] = _columns(entry.get("updates"), row, who)
    return [{"id": row_id, "columns": columns} for row_id, columns in found.items()]


def _columns(answer: Any, row: Record, who: str) -> dict[str, Any]:
    """Return the columns that a driver may write; a row with invalid ones has failed."""
    if answer is None:
        return {}
    try:
        if not isinstance(answer, Mapping):
            raise DriverReturnedRubbish(f"a {type(answer).__name__}, not a dict of columns")
        status = answer.get("status")
        if status not in (None, *_STATUSES[row.kind]):
            raise DriverReturnedRubbish(f"the status {status!r:.40}")
        rest = {name: value for name, value in answer.items() if name != "status"}
        columns = driver_contract.model_update(rest, row, who)
        json.dumps(columns)
    except (DriverReturnedRubbish, TypeError, ValueError) as error:
        LOG.error("%s returned for %s %s: %s", who, row.kind, row.id, error)
        return {"status": _FAILED[row.kind]}
    return {**columns, "status": status} if status else columns
