# SPDX-License-Identifier: Apache-2.0
"""Steps that store backups a second time and switch their rows, so that chains change.

The row decides at every moment which of the two copies counts: the step ``switch`` compares and
sets its place in one transaction. Until then a restore uses the first copy, afterwards the second;
whichever copy the row does not name is removed in the end, after a success and after a failure; one
that a failing store keeps is removed with its backup.
"""

from __future__ import annotations

import logging
from typing import Any, TypedDict

from oslo_utils import units

from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record
from flows.backup import transfer_control
from flows.backup.restore import require_in_this_store
from flows.context import BackupContext
from flows.driver_calls import driver_contract
from flows.engine import moved_data
from flows.errors import DriverNotInitialized, InvalidBackup, ProcessStopping
from flows.lifecycle import Step
from flows.statuses import BackupStatus
from flows.volume.data import backup_source

LOG = logging.getLogger(__name__)

USABLE = (BackupStatus.AVAILABLE, BackupStatus.RESTORING)
"""Statuses of a backup whose data is whole."""

PAUSES = (1.0, 10.0, 0.0)
"""Seconds after each attempt to remove a copy that failed."""


class Rewrite(TypedDict):
    """One backup that is stored a second time.

    :param former: ``service_metadata`` of the copy that the row names at the begin.
    :param place: where the new copy goes; each attempt has a ``service_metadata`` made of it. The
        former one where none is needed, as backups of the driver do not need their parents.
    :param base: the backup on which the new copy builds; None for a full backup.
    """

    backup_id: str
    former: str
    place: str
    base: str | None


def planned(ctx: BackupContext, backup: Record, base: str | None) -> Rewrite:
    """Return the rewrite of a backup.

    :raises InvalidBackup: it is in use, or not in the store of this service.
    """
    if backup.status != BackupStatus.AVAILABLE:
        text = f"is {backup.status}, not available: try again when that has ended"
        raise InvalidBackup(f"backup {backup.id} {text}")
    backup_source.require_on_this_host(ctx, backup)
    require_in_this_store(ctx, backup)
    former = str(backup.service_metadata)
    driver = ctx.driver_for(backup)
    if backup.service_metadata and not driver.needs_parents:  # only its row names the parent
        return Rewrite(backup_id=str(backup.id), former=former, place=former, base=base)
    if backup.encryption_key_id:
        raise InvalidBackup(f"backup {backup.id} is encrypted: its chain stays as it is")
    _require_same_sizes(backup, base)
    try:
        place = driver.other_place(backup)
    except NotImplementedError as error:
        text = f"is kept by {ctx.backend.service}, which cannot change chains"
        raise InvalidBackup(f"backup {backup.id} {text}") from error
    return Rewrite(backup_id=str(backup.id), former=former, place=place, base=base)


class StoreCopies(Step, task="rewrite"):
    """Store the backups a second time.

    Idempotent: objects before the checkpoint are not stored again, and a complete copy is not
    made again.
    """

    default_provides = "copies"
    moves_data = True

    def execute(self, ctx: BackupContext, rewrites: list[Rewrite]) -> dict[str, dict[str, Any]]:
        sizes = [(ctx.backups.get(one["backup_id"]).size or 0) * units.Gi for one in rewrites]
        moved_data.begin(sum(sizes))
        return {one["backup_id"]: _stored(ctx, one) for one in rewrites}

    def revert(self, ctx: BackupContext, rewrites: list[Rewrite]) -> None:
        for one in rewrites:
            _remove_other(ctx, one)

    def remove_temporary(self, ctx: Any, known: Any, begun: Any) -> None:
        """Remove the copies that no row names, of an operation that has lost its claim."""
        if self.name in begun:
            for one in known.get("rewrites") or ():
                _remove_other(ctx, one)


class SwitchCopies(Step, task="switch"):
    """Have the rows name the second copies. Idempotent: each row is compared and set once."""

    def execute(
        self,
        ctx: BackupContext,
        rewrites: list[Rewrite],
        copies: dict[str, dict[str, Any]],
    ) -> None:
        for one in rewrites:
            if not ctx.backups.switch(
                one["backup_id"], one["former"], when=USABLE, **copies[one["backup_id"]]
            ):
                raise InvalidBackup(f"backup {one['backup_id']} was changed or deleted meanwhile")


class RemoveFormer(Step, task="clear"):
    """Remove the copies that no row names any more. Idempotent: absence is a success.

    The operation has succeeded by now: nothing is reverted where the store fails. A copy that stays
    is removed with its backup.
    """

    def execute(self, ctx: BackupContext, rewrites: list[Rewrite]) -> None:
        for one in rewrites:
            for pause in PAUSES:
                try:
                    _remove_other(ctx, one)
                    break
                except (BackupDriverException, DriverNotInitialized) as error:
                    text = "backup %s: a copy of it that is not used any more was not removed: %s"
                    LOG.warning(text, one["backup_id"], error)
                if ctx.pause(pause):
                    raise ProcessStopping(
                        "the service stops: the copy is removed at its next start"
                    )


def _stored(ctx: BackupContext, one: Rewrite) -> dict[str, Any]:
    backup = ctx.backups.get(one["backup_id"])
    if _changes_only_the_row(one) or backup.service_metadata != one["former"]:  # switched before
        names = ("service_metadata", "object_count")
        return {"parent_id": one["base"], **{name: backup[name] for name in names}}
    base = None if one["base"] is None else ctx.backups.get(one["base"])
    pace = transfer_control.cancellable(ctx, one["backup_id"], USABLE)
    answer = ctx.driver_for(backup).rewrite(backup, base, one["place"], pace=pace)
    return driver_contract.model_update(answer, backup, "rewrite") or {}


def _changes_only_the_row(one: Rewrite) -> bool:
    return one["place"] == one["former"]


def _remove_other(ctx: BackupContext, one: Rewrite) -> None:
    """Remove the copies of a backup that its row does not name."""
    backup = ctx.backups.find(one["backup_id"])
    if backup is None or _changes_only_the_row(one):
        return
    for place in (one["former"], one["place"]):
        if backup.deleted or place != backup.service_metadata:
            with ctx.waiting():
                ctx.driver_for(backup).remove_copy(backup, place)


def _require_same_sizes(backup: Record, base: str | None) -> None:
    """Refuse a chain of backups of several sizes: data behind the end of one would appear in it."""
    one, seen = backup, {backup.id}
    while one.parent_id and one.parent_id != base:
        parent: Record | None = one.parent
        if parent is None or parent.id in seen:
            text = f"builds on backup {one.parent_id}, which does not exist"
            raise InvalidBackup(f"backup {one.id} {text}: it cannot be restored")
        if parent.size != backup.size:
            sizes = f"{parent.size} GiB, backup {backup.id} {backup.size}"
            raise InvalidBackup(f"backup {parent.id} has {sizes}: its chain stays as it is")
        seen.add(parent.id)
        one = parent
