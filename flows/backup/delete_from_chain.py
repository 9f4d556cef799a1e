# SPDX-License-Identifier: Apache-2.0
"""Delete a backup that others build on: its data is handed on to them first.

============  ========================================  ================================
task          does                                      undone by
============  ========================================  ================================
begin,        as of a deletion                          (see :mod:`flows.backup.delete`)
check_status
check_store   the store works, and is ours              (not working: ``error_deleting``)
plan          the backups that build on it, and places  (``available``)
              of second copies
rewrite       driver.rewrite: each is stored anew, on   the copies that no row names are
              the backup before the deleted one         removed (``available``)
switch        their rows name the second copies         (a switched row stays)
clear         driver.remove_copy: their first copies    (``available``)
check_alone   no other backup builds on it now          (``available``)
remove        driver.delete_backup                      (a deleted backup stays deleted)
finish        as of a deletion                          (point of no return)
============  ========================================  ================================

Nothing of the deleted backup is removed before all rows name copies that do without it.

Source: docs/backup, Chains; Cinder refuses such a deletion.
"""

from __future__ import annotations

from taskflow.patterns import linear_flow

from flows.backup import delete, rewrites
from flows.backup.delete import (
    BeginDeleteBackup,
    CheckDeleteStore,
    CheckNoDependents,
    CheckStatus,
    FinishDeleteBackup,
    RemoveBackup,
)
from flows.backup.rewrites import RemoveFormer, Rewrite, StoreCopies, SwitchCopies
from flows.context import BackupContext
from flows.factories import registered
from flows.lifecycle import Step

STATUSES = delete.STATUSES


class PlanHandOn(Step, task="plan"):
    """Choose the places of second copies of all that build on a backup. Idempotent: it reads."""

    default_provides = "rewrites"

    def execute(self, ctx: BackupContext, backup_id: str) -> list[Rewrite]:
        backup = ctx.backups.find(backup_id)
        if backup is None or backup.deleted:
            return []
        children = [ctx.backups.get(one) for one in ctx.backups.dependants(backup_id)]
        base = backup.parent_id or None
        return [rewrites.planned(ctx, one, base) for one in children]


@registered
def flow() -> linear_flow.Flow:
    """Delete a backup and keep those that build on it. Needs ``backup_id``."""
    return linear_flow.Flow("delete_from_chain").add(
        BeginDeleteBackup(),
        CheckStatus(),
        CheckDeleteStore(),
        PlanHandOn(),
        StoreCopies(),
        SwitchCopies(),
        RemoveFormer(),
        CheckNoDependents(),
        RemoveBackup(),
        FinishDeleteBackup(),
    )
