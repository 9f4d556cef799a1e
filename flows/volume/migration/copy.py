# SPDX-License-Identifier: Apache-2.0
"""Copy a volume's data to the volume on another backend that is to take its place."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO

from drivers.interface.records import Record
from flows import driver_contract, remote_open
from flows.context import MigrationContext as Context
from flows.errors import AttachFailed, ProcessStopping, Unavailable, VolumeMigrationFailed
from flows.lifecycle import Step, was_cut_short
from flows.volume.connections import connection
from flows.volume.data import data_copy
from flows.volume.lifecycle import find
from flows.volume.migration import instance_swap, target

LOG = logging.getLogger(__name__)

_GIB = 1024**3


class CopyVolumeData(Step, task="copy"):
    """Connect both volumes to this host and copy, or have an instance's host do so.

    It tells whether somebody else copies the volume, and completes the migration then.
    Idempotent: the same data again; a second try disconnects what the first one left,
    and does not write what is there already. What was handed over stays so.
    """

    default_provides = "handed_over"
    moves_data = True

    def execute(
        self,
        ctx: Context,
        volume_id: str,
        spare_id: str,
        moved: bool,
        reservations: Sequence[str] = (),
        old_reservations: Sequence[str] = (),
    ) -> bool:
        if moved:
            return False
        if ctx.attachments.of_volume(volume_id):
            instance_swap.hand_over(ctx, volume_id, spare_id, [*reservations, *old_reservations])
            return True
        volume, spare = ctx.volumes.current(volume_id), ctx.volumes.current(spare_id)
        attached, driver = ctx.attachments.count(volume_id), ctx.driver
        driver.before_volume_copy(ctx.request, volume, spare, remote="dest")
        try:
            with (
                _opened(ctx, spare, write=True) as writer,
                _opened(ctx, volume, write=False) as reader,
            ):
                _copy(ctx, volume, reader, writer)
        finally:
            driver.after_volume_copy(ctx.request, volume, spare, remote="dest")
        _require_untouched(ctx, volume, attached)
        return False

    def revert(
        self,
        ctx: Context,
        volume_id: str,
        spare_id: str,
        moved: bool,
        result: Any,
        reservations: Sequence[str] = (),
        old_reservations: Sequence[str] = (),
    ) -> None:
        if not moved and target.is_taken(ctx, spare_id):
            ctx.quotas.commit([*reservations, *old_reservations])
            return
        # What fails in a second try may leave what the first one had connected.
        if moved or not (was_cut_short(result) or ctx.resumed):
            return
        try:
            if (spare := find(ctx, spare_id)) is not None:
                let_go = (
                    _let_go_here if driver_contract.is_ours(ctx, spare.host) else remote_open.let_go
                )
                let_go(ctx, spare)
        finally:
            _let_go_here(ctx, ctx.volumes.current(volume_id))


def _opened(ctx: Context, volume: Record, *, write: bool) -> AbstractContextManager[BinaryIO]:
    """Open a volume on this host; for one of our own backend nobody needs to be asked."""
    if driver_contract.is_ours(ctx, volume.host):
        return _opened_here(ctx, volume, write)
    return remote_open.opened(ctx, volume, write=write, secure=False)


@contextmanager
def _opened_here(ctx: Context, volume: Record, write: bool) -> Iterator[BinaryIO]:
    """Connect a volume of this backend to this host, and open it."""
    connector, elevated, driver = ctx.attacher.connector(), ctx.request.elevated(), ctx.driver
    if ctx.resumed:
        _let_go_here(ctx, volume)
    connection.check_connector(ctx, volume, connector)
    try:
        answer = driver.create_export(elevated, volume, connector)
        exported = volume.replace(**driver_contract.model_update(answer, volume, "create_export"))
        info = connection.connect(ctx, exported, connector)
        try:
            with ctx.attacher.opened(info, write=write, secure=False) as file:
                yield file
        finally:
            connection.terminate(ctx, exported, connector, force=True)
    finally:
        if not connection.is_used(ctx, volume.id):
            driver.remove_export(elevated, volume)


def _let_go_here(ctx: Context, volume: Record) -> None:
    """Detach and disconnect what a try that was cut short may have left."""
    connector = ctx.attacher.connector()
    if connection.is_used(ctx, volume.id):
        return
    try:
        ctx.attacher.let_go(connection.connect(ctx, volume, connector))
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - what is not connected is not attached
        LOG.info("volume %s is not attached any more: %s", volume.id, driver_contract.masked(error))
    try:
        connection.terminate(ctx, volume, connector, force=True)
    finally:
        ctx.driver.remove_export(ctx.request.elevated(), volume)


def _copy(ctx: Context, volume: Record, reader: BinaryIO, writer: BinaryIO) -> None:
    for file in (reader, writer):
        if not hasattr(file, "read"):
            raise AttachFailed(f"volume {volume.id}: {file} is no file or device to be copied")
    # Backends round sizes up: what is behind the volume's own size is not its data.
    size, room = min(data_copy.length_of(reader), volume.size * _GIB), data_copy.length_of(writer)
    if room < size:
        text = f"has {size} bytes, its copy has room for {room}"
        raise VolumeMigrationFailed(f"volume {volume.id} {text}")

    def told(fraction: float) -> None:
        ctx.progress(fraction)
        if ctx.stopping.is_set():
            raise ProcessStopping("the service stops: the copy goes on at its next start")

    pacing = dataclasses.replace(ctx, progress=told)
    data_copy.copy_between(pacing, reader, writer, size, compares=ctx.resumed)


def _require_untouched(ctx: Context, before: Record, attached: int) -> None:
    """Refuse a copy of what somebody may have written to meanwhile.

    :param attached: how many attachments there had been ever.
    :raises VolumeMigrationFailed: the volume stays where it is.
    """
    now = ctx.volumes.current(before.id)
    same = all(now[name] == before[name] for name in ("status", "attach_status", "size"))
    if not same or ctx.attachments.count(before.id) != attached:
        text = f"was used while it was copied (it is {now.status}): migrate it again"
        raise VolumeMigrationFailed(f"volume {before.id} {text}")
