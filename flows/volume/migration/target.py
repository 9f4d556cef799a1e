# SPDX-License-Identifier: Apache-2.0
"""The volume on another backend to which a migration copies the data.

Its row names in ``migration_status`` of which volume it is the copy, so that a service that
fails with it destroys it (see ``delete``).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from drivers.interface.records import Record
from flows import repeat
from flows.context import MigrationContext, VolumeContext
from flows.errors import NotFound, StatusChanged, VolumeMigrationFailed
from flows.lifecycle import Statuses, Step
from flows.statuses import AttachStatus, MigrationStatus, VolumeStatus, target_of

_COPIED = (
    *("size", "user_id", "project_id", "display_name", "display_description"),
    *("bootable", "multiattach", "previous_status", "scheduled_at"),
)
"""Columns of the volume that its copy has from the start."""

TARGET = Statuses(
    during=(VolumeStatus.CREATING, VolumeStatus.DOWNLOADING), success=VolumeStatus.AVAILABLE
)
"""The row of a copy that failed goes."""

ATTACHMENTS = Statuses(during=(AttachStatus.DETACHED,))

DISCARDED = VolumeStatus.DELETING
"""Status of a copy that is not needed any more."""

_TAKEN = (VolumeStatus.ATTACHING, VolumeStatus.RESERVED, VolumeStatus.IN_USE)
"""Statuses of a copy that a compute service has taken."""

_RENAME = "rename"
"""The step that gives the copy its volume's place; from then on it may be all that there is."""

PAUSE_FIRST = 0.25
PAUSE_MAX = 5.0
"""First and longest pause between two queries of the copy's status, in seconds."""


class CreateTarget(Step, task="target"):
    """Make the copy's row, and have its service create it.

    Idempotent: the row has the id that ``begin`` chose, and a creation that is asked for
    twice finds the volume created.
    """

    def execute(
        self,
        ctx: MigrationContext,
        volume_id: str,
        spare_id: str,
        host: Mapping[str, Any],
        moved: bool,
        new_type_id: str | None = None,
        copy_key: Mapping[str, Any] | None = None,
    ) -> None:
        if moved:
            return
        volume, service = ctx.volumes.get(volume_id), ctx.services.serving(host["host"])
        if service is None:
            text = f"volume {volume_id} cannot be moved to {host['host']}"
            raise VolumeMigrationFailed(f"{text}: no volume service has that name")
        made = ctx.volumes.create(
            id=spare_id,
            host=host["host"],
            cluster_name=host.get("cluster_name"),
            availability_zone=service.availability_zone,
            volume_type_id=new_type_id or volume.volume_type_id,
            status=TARGET.during[0],
            attach_status=ATTACHMENTS.during[0],
            migration_status=target_of(volume_id),
            use_quota=False,
            metadata=dict(volume.metadata),
            admin_metadata=dict(volume.admin_metadata),
            encryption_key_id=copy_key["made"] if copy_key else volume.encryption_key_id,
            **{name: volume[name] for name in _COPIED},
        )
        if made.status == TARGET.during[0]:
            ctx.volume_service.create(ctx.request, made)

    def revert(self, ctx: MigrationContext, volume_id: str, spare_id: str, moved: bool) -> None:
        if not moved:
            discard(ctx, volume_id, spare_id, unless_taken=True)

    def remove_temporary(
        self, ctx: MigrationContext, known: Mapping[str, Any], begun: Collection[str]
    ) -> None:
        """Have a copy deleted that is still the copy of its volume, and has no place of it."""
        volume_id, copy_id = str(known["volume_id"]), str(known.get("spare_id"))
        copy = _find(ctx, copy_id)
        if _RENAME in begun or copy is None or copy.migration_status != target_of(volume_id):
            return
        discard(ctx, volume_id, copy_id, unless_taken=True)


class WaitForTarget(Step, task="wait"):
    """Wait until the copy is created.

    Idempotent: it only reads, until the row of a copy that failed is gone.
    """

    bookkeeping = True

    def execute(self, ctx: MigrationContext, volume_id: str, spare_id: str, moved: bool) -> None:
        if moved:
            return
        until = time.monotonic() + ctx.options.migration_create_timeout
        repeat.until_stopped(
            lambda: _check_created(ctx, volume_id, spare_id, until),
            ctx.pause,
            on=_NotCreatedYet,
            first=PAUSE_FIRST,
            longest=PAUSE_MAX,
            failed=lambda _error, _pause: ctx.progress(0.0),  # raises if it was cancelled
        )
        volume = ctx.volumes.get(volume_id)
        # Only now: it was to be created empty.
        origin = {"snapshot_id": volume.snapshot_id, "source_volid": volume.source_volid}
        if any(origin.values()):
            ctx.volumes.update(spare_id, **origin)


class _NotCreatedYet(Exception):
    """The service of the destination has not created the copy yet."""


def _check_created(ctx: MigrationContext, volume_id: str, copy_id: str, until: float) -> None:
    """Return if the copy is created. :raises VolumeMigrationFailed: it failed, or is late."""
    status = _status(ctx, copy_id)
    if status == TARGET.success:
        return
    if time.monotonic() > until or status not in TARGET.during:
        raise _failed(ctx, volume_id, copy_id, status)
    raise _NotCreatedYet(f"the copy {copy_id} of volume {volume_id} is still {status}")


def is_taken(ctx: VolumeContext, copy_id: str) -> bool:
    """Return whether a compute service has reserved a copy, to swap it for its volume.

    It ends the migration by itself, also when it has let the copy go again.
    """
    copy = _find(ctx, copy_id)
    return copy is not None and (copy.status in _TAKEN or ctx.attachments.count(copy_id) > 0)


def discard(
    ctx: MigrationContext, volume_id: str, copy_id: str, *, unless_taken: bool = False
) -> None:
    """Clear the columns of the copy's row that a migration that ends here has left.

    Once the rows are swapped that is the former object of the volume; while the copy was being
    given the volume's place it may be all that there is, and it is kept.

    :param unless_taken: whether it stays where a compute service has taken it, up to now.
    """
    volume, copy = _find(ctx, volume_id), _find(ctx, copy_id)
    if copy is None or (unless_taken and is_taken(ctx, copy_id)):
        return
    if copy.migration_status != MigrationStatus.DELETING:
        if volume is not None and volume.migration_status == MigrationStatus.COMPLETING:
            # Users may delete it now, with its key.
            shared = copy.encryption_key_id == volume.encryption_key_id
            key = {"encryption_key_id": None} if shared else {}
            ctx.volumes.update(copy_id, migration_status=None, **key)
            return
        if copy.status != DISCARDED:
            try:
                ctx.volumes.transition(copy_id, DISCARDED, when=(copy.status,))
            except StatusChanged:
                discard(ctx, volume_id, copy_id, unless_taken=unless_taken)
                return
    ctx.volume_service.delete(ctx.request, ctx.volumes.current(copy_id))


def _failed(ctx: MigrationContext, volume_id: str, copy_id: str, status: str | None) -> Exception:
    """End the wait for the copy, and return the reason."""
    if status is not None:
        # A service that creates it still finds its row gone, and removes its object.
        ctx.volumes.destroy(copy_id)
    label = f"the copy {copy_id} of volume {volume_id}"
    if status == TARGET.during[0]:
        seconds = ctx.options.migration_create_timeout
        text = f"was not created within the {seconds:g} s of migration_create_volume_timeout_secs"
        return VolumeMigrationFailed(f"{label} {text}")
    return VolumeMigrationFailed(f"{label} was not created: it is {status or 'gone'}")


def _status(ctx: MigrationContext, copy_id: str) -> str | None:
    found = _find(ctx, copy_id)
    return None if found is None else str(found.status)


def _find(ctx: VolumeContext, volume_id: str) -> Record | None:
    try:
        return ctx.volumes.current(volume_id)
    except NotFound:
        return None
