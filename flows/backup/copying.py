# SPDX-License-Identifier: Apache-2.0
"""Open a volume or snapshot for a copy of its data, and keep an eye on who wants it."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from drivers.interface.pace import Pace
from drivers.interface.records import Record
from flows import edge
from flows.context import BackupContext
from flows.errors import AttachFailed, BackupUnwanted, DetachFailed, FlowError, Unavailable
from flows.lifecycle import Interrupted

LOG = logging.getLogger(__name__)

LOOK = 2.0
"""Seconds between two looks at whether a copy is still wanted."""

Told = Callable[[float], None]


@contextmanager
def opened(ctx: BackupContext, source: Record, *, write: bool, secure: bool) -> Iterator[BinaryIO]:
    """Attach a volume or snapshot to this host, open it, and in the end let it go.

    A second try connects again, which the driver answers as before.

    :raises AttachFailed: it cannot be opened; nothing is attached.
    :raises DetachFailed: after a copy that went well, it could not be let go.
    """
    connector = ctx.attacher.connector()
    if ctx.resumed:
        let_go(ctx, source)
    try:
        info = ctx.volume_service.connect(ctx.request, source, connector)
    except FlowError as error:
        _disconnect_quietly(ctx, source, connector)
        raise AttachFailed(f"{source.kind} {source.id}: {error}") from error
    try:
        with ctx.attacher.opened(info, write=write, secure=secure) as file:
            yield file
    except BaseException:
        _disconnect_quietly(ctx, source, connector)
        raise
    _disconnect(ctx, source, connector)


def let_go(ctx: BackupContext, source: Record) -> None:
    """Detach and disconnect what a try that was cut short may have left."""
    connector = ctx.attacher.connector()
    try:
        ctx.attacher.let_go(ctx.volume_service.connect(ctx.request, source, connector))
    except FlowError as error:
        LOG.warning("%s %s may stay attached: %s", source.kind, source.id, error)
    _disconnect_quietly(ctx, source, connector)


def watched(
    ctx: BackupContext, backup_id: str, wanted: Collection[str], told: Told | None = None
) -> Pace:
    """Return a pace that ends the copy when a backup's row gets another status.

    A service that stops does not wait for it: what is durable is not copied again.

    :param wanted: statuses in which the copy is to go on.
    :param told: called with each part that is done.
    """
    looked = [0.0]

    def tell(fraction: float) -> None:
        ctx.progress(fraction)
        if ctx.stopping.is_set():
            raise Interrupted("the service stops: the copy goes on at its next start")
        now = time.monotonic()
        if now - looked[0] < LOOK:
            return
        looked[0] = now
        require_wanted(ctx, backup_id, wanted)
        if told is not None:
            told(fraction)

    return dataclasses.replace(ctx.pace, tell=tell)


def require_wanted(ctx: BackupContext, backup_id: str, wanted: Collection[str]) -> None:
    """:raises BackupUnwanted: the row has another status, or is gone."""
    row = ctx.backups.find(backup_id)
    status = "gone" if row is None else "deleted" if row.deleted else row.status
    if status not in wanted:
        raise BackupUnwanted(f"backup {backup_id} is {status}: its copy is ended")


def options(method: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments that a driver's method has a name for."""
    return {name: value for name, value in offered.items() if edge.takes(method, name)}


def _disconnect(ctx: BackupContext, source: Record, connector: Mapping[str, Any]) -> None:
    try:
        ctx.volume_service.disconnect(ctx.request, source, connector)
        ctx.volume_service.unexport(ctx.request, source)
    except Unavailable:
        raise
    except FlowError as error:
        raise DetachFailed(f"{source.kind} {source.id} stays exported: {error}") from error


def _disconnect_quietly(ctx: BackupContext, source: Record, connector: Mapping[str, Any]) -> None:
    try:
        _disconnect(ctx, source, connector)
    except FlowError as error:
        LOG.warning("%s", error)
