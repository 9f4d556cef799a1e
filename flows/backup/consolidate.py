# SPDX-License-Identifier: Apache-2.0
"""Make a full backup of an incremental one, without reading the volume.

=======  ============================================  ==============================
task     does                                          undone by
=======  ============================================  ==============================
begin    checks that the backup is ``available`` and   (status as before, with the
         in our store                                  reason)
plan     chooses the place of a second copy            (nothing was changed)
rewrite  driver.rewrite: stores the second copy        the copy that the row does not
                                                       name is removed
switch   the row names the second copy; the counts of  (a switched row stays)
         the parent
clear    driver.remove_copy: the first copy            (never fails)
finish   forgets the reason of an earlier failure      (point of no return)
=======  ============================================  ==============================

The backup stays ``available``, and restores use whichever copy its row names.

Source: docs/backup, Chains; no counterpart in Cinder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from flows.backup import rewrites
from flows.backup.rewrites import RemoveFormer, Rewrite, StoreCopies, SwitchCopies
from flows.claims import Claim
from flows.context import BackupContext
from flows.errors import InvalidBackup
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of, reason, was_refused
from flows.statuses import BackupStatus
from flows.volume.data import backup_source

STATUSES = Statuses(during=rewrites.USABLE)
"""Success and failure leave the status as it is."""


_FAILED = "it was not consolidated: "
"""The begin of a ``fail_reason`` of this operation."""


class BeginConsolidateBackup(Step, task="begin"):
    """Check the backup. Idempotent: it only reads."""

    bookkeeping = True

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the backup: it has no status of its own for this."""
        backup_id = str(args["backup_id"])
        return Claim("backup", backup_id, STATUSES.during, unmarked=True, status_stays=True)

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.get(backup_id)
        backup_source.require_on_this_host(ctx, backup)
        if backup.status != BackupStatus.AVAILABLE and not ctx.resumed:
            raise InvalidBackup(f"backup {backup_id} is {backup.status}, not available")

    def revert(
        self, ctx: BackupContext, backup_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        backup = ctx.backups.find(backup_id)
        if was_refused(result) or backup is None or backup.deleted:
            return
        text = f"{_FAILED}{reason(cause_of(flow_failures))}"
        ctx.backups.update(backup_id, fail_reason=text[: backup_source.REASON_MOST])


class PlanConsolidation(Step, task="plan"):
    """Choose the place of the second copy. Idempotent: it only reads."""

    default_provides = "rewrites"

    def execute(self, ctx: BackupContext, backup_id: str) -> list[Rewrite]:
        backup = ctx.backups.get(backup_id)
        return [rewrites.planned(ctx, backup, None)] if backup.parent_id else []


class FinishConsolidation(Step, task="finish"):
    """Forget why an earlier attempt has failed. Idempotent: other reasons stay."""

    bookkeeping = True

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is not None and str(backup.fail_reason or "").startswith(_FAILED):
            ctx.backups.update(backup_id, fail_reason=None)


@registered
def flow() -> linear_flow.Flow:
    """Make a backup a full one. Needs ``backup_id``."""
    return linear_flow.Flow("consolidate_backup").add(
        BeginConsolidateBackup(),
        PlanConsolidation(),
        StoreCopies(),
        SwitchCopies(),
        RemoveFormer(),
        FinishConsolidation(),
    )
