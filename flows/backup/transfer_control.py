# SPDX-License-Identifier: Apache-2.0
"""Progress, stops and cancellations of a data transfer of a backup."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from drivers.interface.pace import Pace
from flows.context import BackupContext
from flows.driver_calls import driver_contract
from flows.errors import BackupUnwanted, ProcessStopping
from flows.statuses import BackupStatus

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

    return dataclasses.replace(ctx.pace, tell=advance)


def require_wanted(ctx: BackupContext, backup_id: str, wanted: Collection[str]) -> None:
    """:raises BackupUnwanted: the row has another status, or is gone."""
    row = ctx.backups.find(backup_id)
    status = "gone" if row is None else _DELETED if row.deleted else row.status
    if status not in wanted:
        raise BackupUnwanted(f"backup {backup_id} is {status}: its copy is ended")


def accepted(method: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments that a driver's method has a name for."""
    return {name: value for name, value in offered.items() if driver_contract.takes(method, name)}
