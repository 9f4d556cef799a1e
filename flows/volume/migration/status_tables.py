# SPDX-License-Identifier: Apache-2.0
"""Statuses of a volume during a migration, and their restoration.

=================  ====================================================================
row                its meaning
=================  ====================================================================
migration_status   ``starting`` on arrival, ``migrating``, ``completing``; at the end
                   ``success`` or ``error``
status             as before; ``maintenance`` or ``retyping`` for the time of it
previous_status    the status to which ``status`` returns
=================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.interface.records import Record
from flows.context import MigrationContext
from flows.errors import NotFound, StatusChanged
from flows.lifecycle import Statuses
from flows.statuses import MigrationStatus, VolumeStatus
from flows.volume.lifecycle import LOG, idle_status

MIGRATION = Statuses(
    during=(MigrationStatus.STARTING, MigrationStatus.MIGRATING, MigrationStatus.COMPLETING),
    success=MigrationStatus.SUCCESS,
    failure={Exception: MigrationStatus.ERROR},
)
STARTING, MIGRATING, COMPLETING = MIGRATION.during

RESTORED = (VolumeStatus.RETYPING, VolumeStatus.MAINTENANCE)
"""Statuses that a volume has for the time of its migration only."""


def end_failed_migration(
    ctx: MigrationContext, volume_id: str, rollback: Sequence[str] = ()
) -> None:
    """Restore the statuses of a volume after a migration that failed.

    One whose migration has ended all the same, or whose status moved on, is left as it is.

    :param rollback: reservations to give back.
    """
    try:
        volume = ctx.volumes.current(volume_id)
    except NotFound:
        ctx.quotas.rollback(rollback)
        return
    try:
        if volume.migration_status in MIGRATION.during:
            ctx.volumes.migrate(volume_id, MIGRATION.failed, when=MIGRATION.during)
        if volume.status in RESTORED:
            status, when = status_before(ctx, volume), (volume.status,)
            ctx.volumes.transition(volume_id, status, when=when, rollback=rollback, done=True)
            return
    except StatusChanged as error:
        LOG.warning("volume %s is left as it is: %s", volume_id, error)
    ctx.quotas.rollback(rollback)


def status_before(ctx: MigrationContext, volume: Record) -> str:
    """Return the status that a volume had before; where it was not recorded, a fitting one."""
    if volume.previous_status and volume.previous_status not in RESTORED:
        return str(volume.previous_status)
    if volume.status not in RESTORED:
        return str(volume.status)
    return idle_status(ctx, volume.id)
