# SPDX-License-Identifier: Apache-2.0
"""Have the compute service copy a volume that an instance uses, and swap it there.

Only it can: the instance writes to the volume meanwhile. The compute service reserves
the copy before it answers, and has the migration completed in the end, with or without
success (see ``complete_migration``). From then on the copy is its own, whatever becomes of
the operation here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from drivers.interface.errors import ComputeError
from flows.context import MigrationContext
from flows.errors import VolumeMigrationFailed
from flows.volume.connections import instance_events
from flows.volume.migration import target

LOG = logging.getLogger(__name__)


def request_swap(ctx: MigrationContext, volume_id: str, copy_id: str, held: Sequence[str]) -> None:
    """Ask for a swap, and use up the reserved quota. It is asked for once.

    :raises VolumeMigrationFailed: it cannot be swapped, or the compute service refuses.
    """
    instance = only_instance(ctx, volume_id)
    if not target.is_taken(ctx, copy_id):
        _request_swap_of(ctx, instance, volume_id, copy_id)
    LOG.info("volume %s: instance %s copies it to %s", volume_id, instance, copy_id)
    ctx.quotas.commit(held)


def only_instance(ctx: MigrationContext, volume_id: str) -> str:
    """Return the id of the one instance that has a volume.

    :raises VolumeMigrationFailed: none has it, or it is not alone.
    """
    count, found = (
        len(ctx.attachments.of_volume(volume_id)),
        instance_events.of_volume(ctx, volume_id),
    )
    if count != 1 or len(found) != 1:
        text = f"has {count} attachments, by {len(found)} instances"
        why = "only the one instance that has a volume can swap it: detach it first"
        raise VolumeMigrationFailed(f"volume {volume_id} {text}; {why}")
    return found[0]


def _request_swap_of(ctx: MigrationContext, instance: str, volume_id: str, copy_id: str) -> None:
    try:
        with ctx.waiting():
            ctx.compute.swap_volume(ctx.request, instance, volume_id, copy_id)
    except ComputeError as error:
        # An answer may be lost on its way.
        if not target.is_taken(ctx, copy_id):
            text = f"instance {instance} was not asked to swap volume {volume_id}"
            raise VolumeMigrationFailed(f"{text}: {error}") from error
