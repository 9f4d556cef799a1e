# SPDX-License-Identifier: Apache-2.0
"""Rows of attachments against the statuses of their volumes, and against exports."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from flows.statuses import AttachStatus, MigrationStatus, VolumeStatus
from worker.audit.drift import Drift, kind
from worker.audit.row_times import last_written
from worker.audit.sources import Look
from worker.db import models

_V, _A = models.volumes, models.volume_attachment

_VOLUME = sa.select(
    *(_V.c.id, _V.c.host, _V.c.status, _V.c.attach_status, _V.c.created_at, _V.c.updated_at)
).where(
    _V.c.deleted == sa.false(),
    sa.or_(
        _V.c.migration_status.is_(None),
        _V.c.migration_status.in_((MigrationStatus.SUCCESS, MigrationStatus.ERROR)),
    ),
)
_ATTACHED = sa.exists().where(
    _A.c.volume_id == _V.c.id,
    _A.c.deleted == sa.false(),
    _A.c.attach_status == AttachStatus.ATTACHED,
)
_ANY = sa.exists().where(_A.c.volume_id == _V.c.id, _A.c.deleted == sa.false())
_IN_USE = _V.c.status == VolumeStatus.IN_USE
_AVAILABLE = _V.c.status == VolumeStatus.AVAILABLE
_MARKED_ATTACHED = _V.c.attach_status == AttachStatus.ATTACHED


@kind(
    subject="rows of volumes in use; rows of attachments",
    meaning="A detachment did not write the status, so that the volume cannot be deleted.",
    remedy="Set the status to available if no instance has the volume, or use --fix.",
    repair="settle_attachments",
)
def volume_in_use_without_attachment(look: Look) -> Iterator[Drift]:
    """Yield volumes in use that have no attachment."""
    for _backend, row in look.on_backends(_VOLUME.where(_IN_USE, sa.not_(_ANY))):
        yield _drift(row, "is in use, and has no attachment")


@kind(
    subject="rows of attachments; rows of available volumes",
    meaning="The volume could be deleted, or attached once more, while an instance uses it.",
    remedy="Set the status to in-use if an instance has the volume, or use --fix.",
    repair="settle_attachments",
)
def volume_available_but_attached(look: Look) -> Iterator[Drift]:
    """Yield available volumes that have an attachment of an instance."""
    for _backend, row in look.on_backends(_VOLUME.where(_AVAILABLE, _ATTACHED)):
        yield _drift(row, "is available, and has an attachment in use")


@kind(
    subject="status of a volume; its attach_status",
    meaning="The two columns of one row contradict each other.",
    remedy="Set attach_status by the attachments, or use --fix.",
    repair="settle_attachments",
)
def attach_status_differs(look: Look) -> Iterator[Drift]:
    """Yield volumes whose two statuses differ while the attachments agree with one."""
    unmarked = sa.and_(_IN_USE, _ATTACHED, sa.not_(_MARKED_ATTACHED))
    marked = sa.and_(_AVAILABLE, sa.not_(_ANY), _MARKED_ATTACHED)
    for _backend, row in look.on_backends(_VOLUME.where(sa.or_(unmarked, marked))):
        yield _drift(row, f"is {row.status}, and its attach_status is {row.attach_status}")


@kind(
    subject="rows of attachments; rows of volumes",
    meaning="The deletion of a volume left an attachment.",
    remedy="Delete the attachment, or use --fix.",
    repair="end_attachment",
)
def attachment_of_deleted_volume(look: Look) -> Iterator[Drift]:
    """Yield live attachments of volumes that are deleted."""
    columns = (_A.c.id, _A.c.volume_id, _A.c.created_at, _A.c.updated_at, _V.c.host)
    found = (
        sa.select(*columns)
        .join(_V, _V.c.id == _A.c.volume_id)
        .where(_A.c.deleted == sa.false(), _V.c.deleted == sa.true())
    )
    for _backend, row in look.on_backends(found):
        text = f"the attachment is live, and its volume {row.volume_id} is deleted"
        facts = {"attachment_id": row.id}
        of = (row.volume_id,)
        yield Drift("attachment", row.id, row.host, text, of, last_written(row), facts)


@kind(
    subject="exports on the backend; rows of attachments",
    meaning="A host can still read and write a volume that it has no attachment of.",
    remedy="End the connection of the host, or use --fix where no host has an attachment.",
    repair="remove_export",
)
def export_without_attachment(look: Look) -> Iterator[Drift]:
    """Yield hosts with access to a volume at rest that no attachment names."""
    for backend, found in look.listed():
        rows = _VOLUME.where(_V.c.status.in_((VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)))
        for row in look.by_ids(rows, _V.c.id, found.consumers):
            named = _hosts(look, row.id)
            for host in sorted(set(found.consumers[row.id]) - named):
                text = f"is exported to {host} by {backend.host}, without an attachment"
                yield _drift(row, text, repairable=not named)


@kind(
    subject="rows of attachments; exports on the backend",
    meaning="An instance has lost its volume.",
    remedy="Start the service again: it exports volumes in use.",
)
def attachment_without_export(look: Look) -> Iterator[Drift]:
    """Yield volumes in use that their backend does not export."""
    for backend, found in look.listed():
        if not found.exports_known:
            continue
        for row in look.on(backend, _VOLUME.where(_IN_USE, _ATTACHED)):
            if row.id in found.sizes and row.id not in found.consumers and _hosts(look, row.id):
                yield _drift(row, f"is in use, and {backend.host} exports it to no host")


def _drift(row: Any, text: str, *, repairable: bool = True) -> Drift:
    return Drift(
        *("volume", row.id, row.host, f"the volume {text}"),
        changed_at=last_written(row),
        facts={"volume_id": row.id},
        repairable=repairable,
    )


def _hosts(look: Look, volume_id: str) -> set[str]:
    """Return the hosts that the live attachments of a volume name."""
    wanted = sa.select(_A.c.attached_host, _A.c.connector).where(
        _A.c.volume_id == sa.bindparam("which"), _A.c.deleted == sa.false()
    )
    found = set()
    for row in look.rows(wanted, {"which": volume_id}):
        with contextlib.suppress(ValueError, AttributeError):
            found.add(json.loads(row.connector or "{}").get("host"))
        found.add(row.attached_host)
    return {one for one in found if one}
