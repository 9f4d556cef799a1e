# SPDX-License-Identifier: Apache-2.0
"""Complete a migration whose data Nova has copied, for an attached volume.

========  ============================================  ==============================
task      does                                          undone by
========  ============================================  ==============================
begin     checks that they are a volume and its copy    migration status ``error``; the
                                                        status before
require   wants a driver that is up                     (it only reads)
detach    ends attachments in the old manner            they are written anew
...       the tasks of ``finish``                       as there
attach    writes those attachments anew                 (it is done in any case)
abandon   has the copy deleted; ``error``, the status   (it is asked again)
          before: where the copy failed
answer    the volume's id                               (it only answers)
========  ============================================  ==============================

A copy that fails here is kept: an instance may use it already, and it can be
completed again.

Source: spec/volume-rpc, migrate_volume_completion.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from flows.claims import Claim
from flows.context import MigrationContext
from flows.driver_calls import driver_contract
from flows.errors import InvalidVolume, NotFound, RunInterrupted, ServiceError, Unavailable
from flows.factories import registered
from flows.lifecycle import Step
from flows.statuses import VolumeStatus, migrating_volume
from flows.volume.connections import connection
from flows.volume.connections.attach import MODE
from flows.volume.lifecycle import began_elsewhere, find
from flows.volume.migration import target
from flows.volume.migration.finish import (
    UNFINISHED,
    DeleteOldVolume,
    PrepareSwap,
    RenameTarget,
    SwapRows,
)
from flows.volume.migration.status_tables import (
    COMPLETING,
    MIGRATION,
    end_failed_migration,
    status_before,
)

CLAIMED = (*MIGRATION.during, MIGRATION.done, MIGRATION.failed)
"""Migration statuses of a volume from the begin of a completion to its end."""

LOG = logging.getLogger(__name__)


class EndAttachments(Step, task="detach"):
    """End the attachments of a volume that was swapped while it was in use.

    Idempotent: an absent one is passed over. One that cannot be ended blocks nothing.
    """

    def execute(self, ctx: MigrationContext, volume_id: str, before: Mapping[str, Any]) -> None:
        for known in _in_use(before):
            try:
                _detach(ctx, volume_id, known["id"])
            except (Unavailable, RunInterrupted):
                raise
            except Exception as error:  # noqa: BLE001 - a driver may raise anything at all
                text = driver_contract.masked(error)
                LOG.error("volume %s: %s was not detached: %s", volume_id, known["id"], text)
        if _in_use(before):
            ctx.volumes.pop_admin_metadata(volume_id, MODE)
            ctx.attachments.settle_volume(volume_id)

    def revert(self, ctx: MigrationContext, volume_id: str, before: Mapping[str, Any]) -> None:
        _attach_again(ctx, volume_id, before)


class RestoreAttachments(Step, task="attach"):
    """Write the attachments anew that were ended. Idempotent: one that is there is kept."""

    def execute(self, ctx: MigrationContext, volume_id: str, before: Mapping[str, Any]) -> None:
        _attach_again(ctx, volume_id, before)

    def revert(self, ctx: MigrationContext, volume_id: str, before: Mapping[str, Any]) -> None:
        _attach_again(ctx, volume_id, before)


class BeginCompleteMigration(Step, task="begin"):
    """Check that the two are a volume and its copy. Idempotent: it only reads."""

    bookkeeping = True

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the volume to the end: attachments follow when the rows are swapped."""
        return Claim(
            *("volume", str(args["volume_id"]), CLAIMED, "migration_status"),
            before_begin=MIGRATION.during,
            until_end=True,
        )

    def execute(self, ctx: MigrationContext, volume_id: str, spare_id: str) -> None:
        volume, copy = ctx.volumes.get(volume_id), ctx.volumes.get(spare_id)
        driver_contract.require_on_this_backend(ctx, volume, volume)
        if volume.migration_status not in (*UNFINISHED, COMPLETING):
            text = f"volume {volume_id} is not being migrated: {volume.migration_status}"
            raise InvalidVolume(text)
        if migrating_volume(copy.migration_status) != volume_id:
            text = f"volume {spare_id} is not the copy of {volume_id}"
            raise InvalidVolume(f"{text}: its migration status is {copy.migration_status}")

    def revert(
        self,
        ctx: MigrationContext,
        volume_id: str,
        spare_id: str,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        if began_elsewhere(ctx, volume_id, result):
            return
        copy = find(ctx, spare_id)
        if copy is not None and copy.status == target.DISCARDED:
            target.discard(ctx, volume_id, spare_id)
        end_failed_migration(ctx, volume_id)


class AbandonMigration(Step, task="abandon"):
    """Restore the volume's status, and delete the copy. Idempotent: it is requested again."""

    default_provides = "result"

    def execute(self, ctx: MigrationContext, volume_id: str, spare_id: str) -> str:
        status = status_before(ctx, ctx.volumes.current(volume_id))
        target.discard(ctx, volume_id, spare_id)
        ctx.volumes.migrate(volume_id, MIGRATION.failed, when=MIGRATION.during)
        volume = ctx.volumes.current(volume_id)
        ctx.volumes.transition(volume_id, status, when=(volume.status,), done=True)
        return volume_id


class AnswerCompletion(Step, task="answer"):
    """Answer with the volume's id. Idempotent: it does nothing."""

    bookkeeping = True

    default_provides = "result"

    def execute(self, volume_id: str) -> str:
        return volume_id


class RequireDriver(Step, task="require"):
    """Require a driver that is up. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: MigrationContext) -> None:
        ctx.backend.require_driver()


@registered
def completion() -> linear_flow.Flow:
    """Complete a migration. Needs ``volume_id``, and the copy's as ``spare_id``."""
    return linear_flow.Flow("migrate_volume_completion").add(
        BeginCompleteMigration(),
        RequireDriver(),
        PrepareSwap(),
        EndAttachments(),
        RenameTarget(),
        SwapRows(),
        RestoreAttachments(),
        DeleteOldVolume(),
        AnswerCompletion(),
    )


@registered
def abandonment() -> linear_flow.Flow:
    """End a migration whose copy failed. Needs the arguments of :func:`completion`."""
    return linear_flow.Flow("abandon_migration").add(
        BeginCompleteMigration(), RequireDriver(), AbandonMigration()
    )


def _detach(ctx: MigrationContext, volume_id: str, attachment_id: str) -> None:
    try:
        attachment = ctx.attachments.get(attachment_id)
    except NotFound:
        return
    volume, driver = ctx.volumes.current(volume_id), ctx.driver
    driver.detach_volume(ctx.request, volume, attachment)
    connection.unexport(ctx, volume, besides=attachment_id)
    ctx.attachments.destroy(attachment_id)


def _attach_again(ctx: MigrationContext, volume_id: str, before: Mapping[str, Any]) -> None:
    volume = ctx.volumes.current(volume_id)
    for known in _in_use(before):
        try:
            ctx.volume_service.attach(ctx.request, volume, known)
        except ServiceError as error:
            LOG.error("volume %s: %s is not attached again: %s", volume_id, known["id"], error)


def _in_use(before: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the attachments that are ended and written anew: those of the old manner."""
    was_in_use = (
        before["status"] == VolumeStatus.IN_USE
        and before["volume"]["status"] != VolumeStatus.AVAILABLE
    )
    return list(before["attachments"]) if was_in_use else ()
