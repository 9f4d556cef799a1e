# SPDX-License-Identifier: Apache-2.0
"""Let a copy take the place of its volume, and have the former object deleted.

=======  ===========================================  ==============================
task     does                                         undone by
=======  ===========================================  ==============================
ready    ``completing``; notes both rows              (as the migration's begin)
rename   has the copy's service give the copy the     both rows point to where they
         volume's place on its backend                did; the copy is kept
swap     the two rows, the type and the quota;        (point of no return)
         ``success``; the status before
release  has the former object deleted                (requested until it is accepted)
=======  ===========================================  ==============================

Source: spec/volume-rpc, migrate_volume_completion.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from drivers.interface.records import Record
from flows import repeat
from flows.context import MigrationContext
from flows.errors import ServiceError, VolumeMigrationFailed
from flows.lifecycle import OUTAGE_WAIT_FIRST, OUTAGE_WAIT_MAX, Step
from flows.statuses import MigrationStatus
from flows.volume.lifecycle import find
from flows.volume.migration import target
from flows.volume.migration.status_tables import (
    COMPLETING,
    MIGRATING,
    MIGRATION,
    STARTING,
    status_before,
)

LOG = logging.getLogger(__name__)

UNFINISHED = (STARTING, MIGRATING, MIGRATION.failed)
"""From where a migration may be completed: an error may be that of an earlier try."""

_ATTACHMENT = ("id", "instance_uuid", "attached_host", "mountpoint", "attach_mode")
"""Columns with which an attachment is recreated."""

_PLACE = ("_name_id", "provider_location", "provider_id", "provider_auth", "provider_geometry")
"""Columns that describe the object's place."""


class PrepareSwap(Step, task="ready"):
    """Record both rows and the attachments.

    Idempotent: nothing is changed before it is recorded. The message to the copy's
    service is made from it, so that a second try sends the same. It is empty where the
    driver has moved the volume, or a compute service swaps it: the others do nothing then.
    """

    bookkeeping = True

    default_provides = "before"

    def execute(
        self,
        ctx: MigrationContext,
        volume_id: str,
        spare_id: str,
        moved: bool = False,
        handed_over: bool = False,
    ) -> dict[str, Any]:
        if moved or handed_over:
            return {}
        ctx.volumes.migrate(volume_id, COMPLETING, when=UNFINISHED)
        volume, copy = ctx.volumes.current(volume_id), ctx.volumes.current(spare_id)
        return {
            "volume": _noted(volume),
            "copy": _noted(copy),
            "status": status_before(ctx, volume),
            "attachments": [
                {name: one[name] for name in _ATTACHMENT}
                for one in ctx.attachments.of_volume(volume_id)
            ],
        }


class RenameTarget(Step, task="rename"):
    """Have the copy given the volume's place. Idempotent: the same is sent again."""

    def execute(self, ctx: MigrationContext, volume_id: str, before: Mapping[str, Any]) -> None:
        if not before:
            return
        volume, copy = (Record("volume", before[name]) for name in ("volume", "copy"))
        try:
            ctx.volume_service.update_migrated(ctx.request, volume, copy, before["status"])
        except ServiceError as error:
            text = f"the copy {copy.id} of volume {volume_id} could not take its place"
            raise VolumeMigrationFailed(f"{text} and is kept: {error}") from error

    def revert(
        self, ctx: MigrationContext, volume_id: str, spare_id: str, before: Mapping[str, Any]
    ) -> None:
        if not before:
            return
        if ctx.volumes.current(volume_id).migration_status != COMPLETING:
            return
        rows = ((volume_id, before["volume"]), (spare_id, before["copy"]))
        known = [
            {"id": i, **{name: row[name] for name in _PLACE if name in row}} for i, row in rows
        ]
        ctx.volumes.update_all(known)


class SwapRows(Step, task="swap"):
    """Swap the rows, settle type and quota. Idempotent: it happens once, all together."""

    bookkeeping = True

    def execute(
        self,
        ctx: MigrationContext,
        volume_id: str,
        spare_id: str,
        before: Mapping[str, Any],
        reservations: Sequence[str] = (),
        old_reservations: Sequence[str] = (),
    ) -> None:
        if before:
            held = (*reservations, *old_reservations)
            ctx.volumes.swap(volume_id, spare_id, before["status"], commit=held)


class DeleteOldVolume(Step, task="release"):
    """Have the former object deleted. Idempotent: an absent one is not deleted twice.

    It does not fail: the volume is on its new backend.
    """

    def execute(
        self, ctx: MigrationContext, volume_id: str, spare_id: str, before: Mapping[str, Any]
    ) -> None:
        if before:
            self._delete(ctx, volume_id, spare_id)

    def revert(self, ctx: MigrationContext, volume_id: str, spare_id: str) -> None:
        copy = find(ctx, spare_id)
        if copy is not None and copy.migration_status == MigrationStatus.DELETING:
            target.discard(ctx, volume_id, spare_id)

    def remove_temporary(
        self, ctx: MigrationContext, known: Mapping[str, Any], begun: Collection[str]
    ) -> None:
        """Have the former object deleted once the rows are swapped."""
        self._delete(ctx, str(known["volume_id"]), str(known.get("spare_id")))

    def _delete(self, ctx: MigrationContext, volume_id: str, spare_id: str) -> None:
        copy = find(ctx, spare_id)
        if copy is None or copy.migration_status != MigrationStatus.DELETING:
            return
        repeat.until_stopped(
            lambda: target.discard(ctx, volume_id, spare_id),
            ctx.pause,
            on=ServiceError,
            first=OUTAGE_WAIT_FIRST,
            longest=OUTAGE_WAIT_MAX,
            failed=repeat.first_only(
                lambda error, _pause: LOG.warning(
                    "volume %s: its former row and data are deleted later: %s", volume_id, error
                )
            ),
        )


def steps() -> list[Step]:
    """Return the steps that end a migration by copy, unless it was moved, or handed over."""
    return [PrepareSwap(), RenameTarget(), SwapRows(), DeleteOldVolume()]


def _noted(volume: Record) -> dict[str, Any]:
    """Return a volume's row as JSON, with the pairs that a driver may write."""
    fields = volume.to_dict()
    for relation in ("volume_type", "volume_attachment", "glance_metadata"):
        fields.pop(relation, None)
    fields |= {name: dict(volume[name]) for name in ("metadata", "admin_metadata")}
    return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.datetime) else value
