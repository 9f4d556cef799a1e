# SPDX-License-Identifier: Apache-2.0
"""Copy a snapshot's data over a volume, for drivers that cannot revert by themselves."""

from __future__ import annotations

from oslo_utils import units

from drivers import block_copy
from drivers.blockio import BlockFile
from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.records import Record
from flows.context import DataContext
from flows.driver_calls import driver_contract
from flows.engine import moved_data
from flows.volume.data import open_volume, temporary_objects


def restore_from_snapshot(ctx: DataContext, volume: Record, snapshot: Record) -> None:
    """Write a snapshot's data over its volume, through a temporary volume.

    Idempotent: a second try first removes the temporary volume of the first one.
    """
    driver = ctx.driver
    temporary = temporary_objects.temporary_volume(volume, snapshot)
    if ctx.resumed:
        open_volume.release_leftovers(ctx, temporary)
    driver.delete_volume(temporary)
    try:
        answer = driver.create_volume_from_snapshot(temporary, snapshot)
        update = driver_contract.model_update(answer, temporary, "create_volume_from_snapshot")
        temporary = temporary.replace(**update)
        with (
            open_volume.opened(ctx, temporary, write=False) as source,
            open_volume.opened(ctx, volume, write=True) as target,
        ):
            _copy(ctx, snapshot, BlockFile(source), BlockFile(target))
    finally:
        driver.delete_volume(temporary)


def remove_leftovers(ctx: DataContext, volume: Record, snapshot: Record) -> None:
    """Remove everything that an interrupted copy may have left."""
    open_volume.release_leftovers(ctx, volume)
    remove_temporary_volume(ctx, volume, snapshot)


def remove_temporary_volume(ctx: DataContext, volume: Record, snapshot: Record) -> None:
    """Remove the temporary volume of an interrupted copy; the volume itself is not touched.

    It has no row. Its name and its id are made by the worker, and no other operation uses it:
    each one that does holds the lock of ``volume``.
    """
    temporary = temporary_objects.temporary_volume(volume, snapshot)
    open_volume.release_leftovers(ctx, temporary)
    ctx.driver.delete_volume(temporary)


def remove_unfinished(ctx: DataContext, volume_id: str, snapshot_id: str) -> None:
    """Remove the temporary volume of an operation that lost its claim without an end."""
    if ctx.claim is not None and ctx.claim.is_marked(ctx):
        volume, snapshot = ctx.volumes.get(volume_id), ctx.snapshots.get(snapshot_id)
        remove_temporary_volume(ctx, volume, snapshot)


def _copy(ctx: DataContext, snapshot: Record, source: BlockFile, target: BlockFile) -> None:
    # Backends round sizes up: the snapshot's data ends at its own size.
    size = min(source.size, snapshot.volume_size * units.Gi)
    if target.size < size:
        text = f"has {size} bytes, its volume has room for {target.size}"
        raise VolumeBackendAPIException(f"snapshot {snapshot.id} {text}")
    moved_data.begin(size)
    block_copy.copy(source, target, size, ctx.pace)
