# SPDX-License-Identifier: Apache-2.0
"""Have the compute service copy a volume that an instance uses, and swap it there.

Nobody else can: the instance writes to the volume meanwhile. The compute service reserves
the copy when it begins, and has the migration completed in the end, with or without
success (see ``complete_migration``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from drivers.interface.errors import ComputeError
from drivers.interface.records import Record
from flows.context import Context
from flows.errors import VolumeMigrationFailed
from flows.lifecycle import Step
from flows.volume import migration_target

LOG = logging.getLogger(__name__)


class HandOver(Step):
    """Ask for the swap of a volume that is attached; tell whether nothing is left to be done.

    Idempotent: a copy that was reserved is not asked for again, and what was reserved of
    the quota is used once.
    """

    default_provides = "settled"

    def execute(
        self,
        ctx: Context,
        volume_id: str,
        spare_id: str,
        moved: bool,
        reservations: Sequence[str] = (),
        old_reservations: Sequence[str] = (),
    ) -> bool:
        if moved or not ctx.attachments.of_volume(volume_id):
            return moved
        instance = instance_of(ctx, ctx.volumes.current(volume_id))
        if not migration_target.is_taken(ctx, spare_id):
            _ask(ctx, instance, volume_id, spare_id)
        LOG.info("volume %s: instance %s copies it to %s", volume_id, instance, spare_id)
        ctx.quotas.commit([*reservations, *old_reservations])
        return True


def instance_of(ctx: Context, volume: Record) -> str:
    """Return the id of the one instance that has a volume.

    :raises VolumeMigrationFailed: none has it, or it is not alone.
    """
    attachments = ctx.attachments.of_volume(volume.id)
    found = [str(one.instance_uuid) for one in attachments if one.instance_uuid]
    if len(found) != 1 or len(attachments) != 1:
        text = f"has {len(attachments)} attachments, {len(found)} of them of instances"
        why = "only the one instance that has a volume can swap it: detach it first"
        raise VolumeMigrationFailed(f"volume {volume.id} {text}; {why}")
    return found[0]


def _ask(ctx: Context, instance: str, volume_id: str, spare_id: str) -> None:
    try:
        with ctx.waiting():
            ctx.compute.swap_volume(ctx.request, instance, volume_id, spare_id)
    except ComputeError as error:
        # An answer may be lost on its way.
        if not migration_target.is_taken(ctx, spare_id):
            text = f"instance {instance} was not asked to swap volume {volume_id}"
            raise VolumeMigrationFailed(f"{text}: {error}") from error
