# SPDX-License-Identifier: Apache-2.0
"""Copy a volume's data to the volume on another backend that is to take its place."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from oslo_utils import units

from drivers import block_copy
from drivers.blockio import BlockFile
from drivers.interface.records import Record
from flows.context import MigrationContext
from flows.engine import moved_data
from flows.errors import ProcessStopping, VolumeMigrationFailed
from flows.lifecycle import Step, was_interrupted
from flows.volume.data import open_volume
from flows.volume.lifecycle import find
from flows.volume.migration import copy_key, instance_swap, target
from flows.volume.migration.plain_data import Recoding

LOG = logging.getLogger(__name__)


class CopyVolumeData(Step, task="copy"):
    """Connect both volumes to this host and copy, or have an instance's host do so.

    It provides whether Nova copies the volume, and completes the migration then.
    Idempotent: the same data again; a second try disconnects the remains of the first,
    and does not write data that is there already. A copy that was handed over stays so.
    """

    default_provides = "handed_over"
    moves_data = True

    def execute(
        self,
        ctx: MigrationContext,
        volume_id: str,
        spare_id: str,
        moved: bool,
        reservations: Sequence[str] = (),
        old_reservations: Sequence[str] = (),
    ) -> bool:
        if moved:
            return False
        if ctx.attachments.of_volume(volume_id):
            instance_swap.request_swap(ctx, volume_id, spare_id, [*reservations, *old_reservations])
            return True
        volume, copy = ctx.volumes.current(volume_id), ctx.volumes.current(spare_id)
        attached, driver = ctx.attachments.count(volume_id), ctx.driver
        changes = copy_key.changes(ctx, volume, copy.volume_type_id)
        recoding = Recoding(ctx, volume, copy) if changes else None
        driver.before_volume_copy(ctx.request, volume, copy, remote="dest")
        try:
            with (
                open_volume.opened(ctx, copy, write=True) as target,
                open_volume.opened(ctx, volume, write=False) as source,
            ):
                if recoding is None:
                    data = _as_it_is(volume, BlockFile(source), BlockFile(target))
                else:
                    with ctx.waiting():
                        data = recoding.opened(source, target)
                _copy(ctx, *data)
        finally:
            driver.after_volume_copy(ctx.request, volume, copy, remote="dest")
        _require_untouched(ctx, volume, attached)
        return False

    def revert(
        self,
        ctx: MigrationContext,
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
        for one in (volume_id, spare_id):
            ctx.images.clear(one)
        # A second try that failed before its copy leaves the connections of the first one.
        if moved or not (was_interrupted(result) or ctx.resumed):
            return
        try:
            if (copy := find(ctx, spare_id)) is not None:
                open_volume.release_leftovers(ctx, copy, quietly=False)
        finally:
            open_volume.release_leftovers(ctx, ctx.volumes.current(volume_id), quietly=False)


def _as_it_is(
    volume: Record, source: BlockFile, target: BlockFile
) -> tuple[BlockFile, BlockFile, int]:
    """Return both and the number of bytes to copy.

    :raises VolumeMigrationFailed: the copy is too short.
    """
    # Backends round sizes up: the volume's data ends at its own size. That of Ceph's encrypted
    # volumes ends behind it, as their header is in front.
    size = min(source.size, volume.size * units.Gi)
    if volume.encryption_key_id and source.is_image:
        size = source.size
    if target.size < size:
        text = f"has {size} bytes, its copy has room for {target.size}"
        raise VolumeMigrationFailed(f"volume {volume.id} {text}")
    return source, target, size


def _copy(ctx: MigrationContext, source: BlockFile, target: BlockFile, size: int) -> None:
    def report(fraction: float) -> None:
        ctx.progress(fraction)
        if ctx.stopping.is_set():
            raise ProcessStopping("the service stops: the copy resumes at its next start")

    moved_data.begin(size)
    pace = dataclasses.replace(ctx.pace, progress=report)
    block_copy.copy(source, target, size, pace, skip_equal=ctx.resumed)


def _require_untouched(ctx: MigrationContext, before: Record, attached: int) -> None:
    """Refuse a copy of a volume that may have been written to meanwhile.

    :param attached: how many attachments there had been ever.
    :raises VolumeMigrationFailed: the volume stays where it is.
    """
    now = ctx.volumes.current(before.id)
    same = all(now[name] == before[name] for name in ("status", "attach_status", "size"))
    if not same or ctx.attachments.count(before.id) != attached:
        text = f"was used while it was copied (it is {now.status}): migrate it again"
        raise VolumeMigrationFailed(f"volume {before.id} {text}")
