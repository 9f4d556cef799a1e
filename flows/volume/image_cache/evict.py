# SPDX-License-Identifier: Apache-2.0
"""Delete a volume of the image-volume cache whose entry is removed.

=======  =========================================  =============================
task     does                                       undone by
=======  =========================================  =============================
begin    refuses a volume that is in use            busy: ``available``; else
                                                    ``error_deleting``
remove   ``deleting``; driver.remove_export,        (a deleted one stays deleted)
         driver.delete_volume
finish   the row, related rows, its quota           (point of no return)
=======  =========================================  =============================

A volume that is in use, or that its driver cannot delete, stays without an entry.

Source: spec/volume-rpc, delete_volume; spec/schema §4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow

from flows.claims import Claim
from flows.context import VolumeContext
from flows.driver_calls import driver_contract
from flows.errors import StatusChanged
from flows.factories import registered
from flows.volume import delete
from flows.volume.image_cache.cache_entries import READY
from flows.volume.lifecycle import find

BEFORE = (READY, *delete.DELETE)
"""Statuses of a volume that is deleted, or is being deleted already."""


class BeginEviction(delete.BeginDelete, task="begin"):
    """Check the volume. Idempotent: it only reads."""

    def claim(self, args: Mapping[str, Any]) -> Claim:
        """Claim the volume while it is deleted; a mark shows that the deletion is this one."""
        return Claim("volume", str(args["volume_id"]), BEFORE, before_begin=BEFORE)

    def execute(self, ctx: VolumeContext, volume_id: str) -> None:  # type: ignore[override]
        volume = find(ctx, volume_id)
        if volume is None:
            return
        driver_contract.require_on_this_backend(ctx, volume, volume)
        if volume.status not in BEFORE:
            raise StatusChanged(f"volume {volume_id}", volume.status, BEFORE)


class EvictVolume(delete.RemoveVolume, task="remove"):
    """Notify of the eviction, and take the volume off the backend.

    Idempotent: the status is compared and set, and absence is a success.
    """

    def execute(  # type: ignore[override]
        self,
        ctx: VolumeContext,
        volume_id: str,
        image_id: str,
        unmanage_only: bool,
        cascade: bool,
    ) -> None:
        volume = find(ctx, volume_id)
        if volume is None:
            return
        if volume.status == READY:
            ctx.notifier.image_cache(ctx.request, "evict", image_id, volume.host)
            ctx.notifier.volume(ctx.request, "delete.start", volume)
        ctx.volumes.transition(volume_id, delete.DELETE[0], when=BEFORE)
        super().execute(ctx=ctx, volume_id=volume_id, unmanage_only=unmanage_only, cascade=cascade)


@registered
def flow() -> linear_flow.Flow:
    """Delete a volume of the cache.

    Needs ``volume_id``, ``image_id``, and False for ``unmanage_only`` and ``cascade``.
    """
    return linear_flow.Flow("evict_image_volume").add(
        BeginEviction(), EvictVolume(), delete.FinishDelete()
    )
