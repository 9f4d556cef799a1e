# SPDX-License-Identifier: Apache-2.0
"""Progress, stops and cancellations of a data transfer of a backup."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from drivers.interface.errors import BackupDriverException
from drivers.interface.pace import Pace
from drivers.interface.records import Record
from flows.context import BackupContext
from flows.driver_calls import driver_contract
from flows.errors import BackupUnwanted, ProcessStopping
from flows.statuses import BackupStatus

LOG = logging.getLogger(__name__)

T = TypeVar("T")

CHECK_INTERVAL = 2.0
"""Seconds between two checks whether a copy is still wanted."""

_DELETED = BackupStatus.DELETED

Progress = Callable[[float], None]


def cancellable(
    ctx: BackupContext, backup_id: str, wanted: Collection[str], progressed: Progress | None = None
) -> Pace:
    """Return a pace that ends the copy when a backup's row gets another status.

    A service that stops does not wait for it: data before the checkpoint is not copied again.

    :param wanted: statuses in which the copy continues.
    :param progressed: called with the fraction that is done.
    """
    checked = [0.0]

    def advance(fraction: float) -> None:
        ctx.progress(fraction)
        if ctx.stopping.is_set():
            raise ProcessStopping("the service stops: the copy resumes at its next start")
        now = time.monotonic()
        if now - checked[0] < CHECK_INTERVAL:
            return
        checked[0] = now
        require_wanted(ctx, backup_id, wanted)
        if progressed is not None:
            progressed(fraction)

    return dataclasses.replace(ctx.pace, progress=advance)


def require_wanted(ctx: BackupContext, backup_id: str, wanted: Collection[str]) -> None:
    """:raises BackupUnwanted: the row has another status, or is gone."""
    row = ctx.backups.find(backup_id)
    status = "gone" if row is None else _DELETED if row.deleted else row.status
    if status not in wanted:
        raise BackupUnwanted(f"backup {backup_id} is {status}: its copy is ended")


def while_places_stay(
    ctx: BackupContext,
    backup_id: str,
    read: Callable[[Record, bool], T],
    *,
    own: bool = True,
    doubtful: Callable[[], bool] = lambda: False,
) -> T:
    """Read a backup again if its chain was changed meanwhile: its objects are elsewhere then.

    :param read: called with the backup, and whether an earlier call was in vain.
    :param own: whether the objects of the backup itself are read. Those of one that is being made
        are not, and a driver may record a new place for them at each call.
    :param doubtful: returns whether a call that ended may have missed objects that were moved.
    """
    backup, again = ctx.backups.get(backup_id), False
    while True:
        places = _places(backup, own=own)
        try:
            found = read(backup, again)
            if not doubtful():
                return found
            backup, again = ctx.backups.get(backup_id), True
            if _places(backup, own=own) == places:
                return found
            LOG.info("backup %s is read again, as its chain was changed", backup_id)
        except BackupDriverException as error:
            backup, again = ctx.backups.get(backup_id), True
            if _places(backup, own=own) == places:
                raise
            LOG.info("backup %s is read again, as its chain was changed: %s", backup_id, error)


def _places(backup: Record, *, own: bool) -> Sequence[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    one = backup if own else _parent(backup)
    while one is not None and (one.id, one.service_metadata) not in found:
        found.append((one.id, one.service_metadata))
        one = _parent(one)
    return found


def _parent(backup: Record) -> Record | None:
    found: Record | None = backup.parent if backup.parent_id else None
    return found


def accepted(method: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments that a driver's method has a name for."""
    return {name: value for name, value in offered.items() if driver_contract.takes(method, name)}
