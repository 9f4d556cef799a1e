# SPDX-License-Identifier: Apache-2.0
"""Operations in the journal against rows, slots and their own reverts; lock files; old statuses."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

import sqlalchemy as sa
from oslo_utils import timeutils
from taskflow import states

from flows.host import orphaned
from flows.statuses import VolumeStatus
from worker.audit.drift import Drift, kind
from worker.audit.row_times import last_written
from worker.audit.sources import Look
from worker.db import models
from worker.journal.entries.in_progress import MOST, UNFINISHED
from worker.journal.entries.listed_entry import JournalEntry

_V, _S = models.volumes, models.snapshots

_TABLES = {"volume": _V, "snapshot": _S, "backup": models.backups, "group": models.groups}
_LOCK = re.compile(r"cinder-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:-\w+)?")
_LONG = datetime.timedelta(days=1)
_VOLUME_STATUSES = (
    *(*orphaned.VOLUMES, VolumeStatus.UPLOADING, VolumeStatus.RETYPING, VolumeStatus.DELETING),
)


@kind(
    subject="failed operations in the journal; their reverts",
    meaning="A revert failed, so that the operation left objects, exports or statuses behind.",
    remedy="holdfast flow show ID names them; --fix has the reverts repeated (flow revert).",
    repair="revert_again",
)
def revert_incomplete(look: Look) -> Iterator[Drift]:
    """Yield failed operations some of whose reverts failed."""
    for entry in look.sources.journal.entries(among=[states.FAILURE], limit=MOST):
        if left := entry.meta.get("left"):
            steps = ", ".join(sorted(left)) if isinstance(left, dict) else str(left)
            yield _drift(entry, f"{entry.method} of {entry.resource} was not reverted in: {steps}")


@kind(
    subject="unfinished operations in the journal; rows of their resources",
    meaning="The row was removed by another program; the operation waits or fails.",
    remedy="holdfast flow cancel ID.",
)
def operation_resource_missing(look: Look) -> Iterator[Drift]:
    """Yield unfinished operations on resources whose row is gone."""
    entries = [(entry, *entry.resource.partition(" ")[::2]) for entry in _unfinished(look)]
    live = _live(look, {resource_id for _entry, _kind, resource_id in entries})
    for entry, kind_name, resource_id in entries:
        if kind_name in _TABLES and resource_id not in live:
            yield _drift(entry, f"{entry.method} of {entry.resource}, which has no live row")


@kind(
    subject="unfinished operations in the journal; services of this configuration",
    meaning="A backend was removed from enabled_backends, or renamed; nothing resumes them.",
    remedy="Enable the backend again until they have ended, or holdfast slot adopt.",
)
def operation_without_service(look: Look) -> Iterator[Drift]:
    """Yield unfinished operations that no process of this host will resume."""
    if look.sources.journal.slots.table is not None:
        return  # other hosts have operations in it
    for entry in _unfinished(look):
        if look.sources.served and entry.slot.rpartition("/")[0] not in look.sources.served:
            yield _drift(entry, f"{entry.method} of {entry.resource} is of slot {entry.slot}")


@kind(
    subject="lock files; rows of volumes, snapshots, backups and groups",
    meaning="A process was killed while it held the lock of a resource that is deleted since.",
    remedy="Harmless. Use --fix, or cinder-manage util clean_locks.",
    repair="remove_lock_file",
)
def lock_file_left(look: Look) -> Iterator[Drift]:
    """Yield lock files of resources that have no live row."""
    place = look.sources.lock_files
    files = {path: _LOCK.fullmatch(path.name) for path in place.glob("cinder-*")} if place else {}
    ids = {path: found[1] for path, found in files.items() if found is not None}
    live = _live(look, set(ids.values()))
    for path, resource_id in sorted(ids.items()):
        if resource_id in live:
            continue
        try:
            seconds = path.stat().st_mtime
        except FileNotFoundError:
            continue
        written = datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)
        yield Drift("lock", path.name, "", f"the lock file {path}", (resource_id,), written)


@kind(
    subject="volumes and snapshots in a transient status for a day; operations in the journal",
    meaning="The cast was lost, or its service was removed; no operation will end the status.",
    remedy="Start the service again: it ends such statuses when no cast can wait.",
)
def status_orphaned(look: Look) -> Iterator[Drift]:
    """Yield resources that no operation has worked on for a day."""
    before = {"before": timeutils.utcnow() - _LONG}
    volumes = sa.select(_V.c.id, _V.c.host, _V.c.status, _V.c.created_at, _V.c.updated_at).where(
        _V.c.status.in_(_VOLUME_STATUSES)
    )
    snapshots = (
        sa.select(_S.c.id, _V.c.host, _S.c.status, _S.c.created_at, _S.c.updated_at, _S.c.volume_id)
        .join(_V, _V.c.id == _S.c.volume_id)
        .where(_S.c.status.in_(tuple(orphaned.SNAPSHOTS)))
    )
    for name, wanted, table in (("volume", volumes, _V), ("snapshot", snapshots, _S)):
        old = sa.func.coalesce(table.c.updated_at, table.c.created_at) < before["before"]
        for backend, _found in look.listed():
            for row in look.on(backend, wanted.where(table.c.deleted == sa.false(), old)):
                text = f"the {name} is {row.status}, and no operation in the journal names it"
                of = (getattr(row, "volume_id", None),)
                yield Drift(name, row.id, row.host, text, of, last_written(row))


def _unfinished(look: Look) -> list[JournalEntry]:
    return look.sources.journal.entries(among=UNFINISHED, limit=MOST)


def _live(look: Look, ids: set[str]) -> set[str]:
    """Return those of some ids that a live row of any sort has."""
    return {
        row.id
        for table in _TABLES.values()
        for row in look.by_ids(
            sa.select(table.c.id).where(table.c.deleted == sa.false()), table.c.id, ids
        )
    }


def _drift(entry: JournalEntry, text: str) -> Drift:
    return Drift(
        *("operation", entry.flow, entry.slot, text),
        changed_at=entry.updated_at or entry.accepted_at,
        facts={"slot": entry.slot},
    )
