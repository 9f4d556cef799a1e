# SPDX-License-Identifier: Apache-2.0
"""Move a volume to another backend: by its driver, or by a copy of its data.

========  ===========================================  ==============================
task      does                                         undone by
========  ===========================================  ==============================
begin     checks that it is here and ``starting``,     migration status ``error``; a
          and chooses the id of a copy                 status ``maintenance`` (or
                                                       ``retyping``) is the one before
move      ``migrating``; driver.migrate_volume, where  interrupted, the driver is asked
          there is no attachment: row, ``success``     once more: it knows the place
make_key  a key for the copy, where its type is        deletes it
          encrypted in another way
target    a row for the copy; its service is asked to  the copy is deleted
          create it
wait      until the copy is ``available``              the row of a failed copy goes
copy      connects both and copies the data; of a      disconnects both; the compute
          volume that an instance has: hands it over   service keeps a taken copy, and
          to the compute service, see                  the reserved quota is used
          ``instance_swap``
========  ===========================================  ==============================

The next steps are in ``finish``. A volume that the driver has moved passes through all
of these unchanged, and one that a compute service swaps through the steps after them.

Source: spec/volume-rpc, migrate_volume; spec/interfaces §8.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows.claims import Claim
from flows.context import MigrationContext
from flows.driver_calls import driver_contract
from flows.errors import DriverReturnedRubbish, InvalidVolume, VolumeMigrationFailed
from flows.factories import registered
from flows.lifecycle import Step, was_interrupted
from flows.statuses import VolumeStatus
from flows.volume.lifecycle import began_elsewhere
from flows.volume.migration import copy, finish, instance_swap, plain_data
from flows.volume.migration.copy_key import MakeCopyKey
from flows.volume.migration.status_tables import (
    MIGRATING,
    MIGRATION,
    RESTORED,
    STARTING,
    end_failed_migration,
    status_before,
)
from flows.volume.migration.target import CreateTarget, WaitForTarget

LOG = logging.getLogger(__name__)

TypeDifferences = Mapping[str, Mapping[str, Any]]

_SAME_OBJECT = {"volume_backend_name", "RESKEY:availability_zones"}
"""Extra specs that describe a volume's place, not its properties."""


class BeginMigrate(Step, task="begin"):
    """Check the volume, and choose the id of its copy. Idempotent: it only reads."""

    bookkeeping = True

    default_provides = "spare_id"  # the id of the copy; journals store this name

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the volume while it migrates."""
        return Claim("volume", str(args["volume_id"]), MIGRATION.during, "migration_status")

    def execute(self, ctx: MigrationContext, volume_id: str) -> str:
        volume = ctx.volumes.get(volume_id)
        driver_contract.require_on_this_backend(ctx, volume, volume)
        if volume.migration_status != STARTING:
            text = f"its migration status is {volume.migration_status}, not {STARTING}"
            raise InvalidVolume(f"volume {volume_id}: {text}")
        return ctx.own_id("copy")

    def reopen(self, ctx: MigrationContext, args: Mapping[str, Any]) -> None:
        """Set the migration status back to that of the request."""
        ctx.volumes.migrate(args["volume_id"], STARTING, when=MIGRATION.failures)

    def revert(
        self, ctx: MigrationContext, volume_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        if not began_elsewhere(ctx, volume_id, result):
            end_failed_migration(ctx, volume_id)


class MoveByDriver(Step, task="move"):
    """Have the driver move the volume where it can; provide whether it did.

    Idempotent: a driver that has moved it says so again, and a row with
    ``success`` was written by the interrupted try.
    """

    default_provides = "moved"
    moves_data = True

    def execute(
        self,
        ctx: MigrationContext,
        volume_id: str,
        host: Mapping[str, Any],
        force_host_copy: bool = False,
        new_type_id: str | None = None,
        retyped: bool = False,
        reservations: Sequence[str] = (),
        old_reservations: Sequence[str] = (),
    ) -> bool:
        if retyped:
            return True
        volume = ctx.volumes.current(volume_id)
        if volume.migration_status == MIGRATION.success:
            return True
        ctx.backend.require_driver()
        ctx.volumes.migrate(volume_id, MIGRATING, when=(STARTING, MIGRATING))
        held = (*reservations, *old_reservations)
        differences = _differences(ctx, volume, new_type_id)
        if not force_host_copy and _by_driver(ctx, volume, host, new_type_id, differences, held):
            return True
        _require_copyable(ctx, volume, new_type_id, differences)
        return False

    def revert(
        self,
        ctx: MigrationContext,
        volume_id: str,
        host: Mapping[str, Any],
        result: Any,
        force_host_copy: bool = False,
        new_type_id: str | None = None,
        retyped: bool = False,
        reservations: Sequence[str] = (),
        old_reservations: Sequence[str] = (),
    ) -> None:
        volume = ctx.volumes.current(volume_id)
        if not was_interrupted(result) or force_host_copy or volume.migration_status != MIGRATING:
            return
        # Only the driver knows where the volume is now: it is asked to end its move.
        held = (*reservations, *old_reservations)
        differences = _differences(ctx, volume, new_type_id)
        _by_driver(ctx, volume, host, new_type_id, differences, held)


@registered
def flow() -> linear_flow.Flow:
    """Migrate a volume.

    Needs ``volume_id``, ``host`` with its ``host`` and ``cluster_name``,
    ``force_host_copy`` and ``new_type_id`` (None to keep its type).
    """
    return linear_flow.Flow("migrate_volume").add(BeginMigrate(), *steps())


def steps() -> list[Step]:
    """Return the steps that move a volume, for a flow whose first step provides ``spare_id``."""
    created = (MakeCopyKey(), CreateTarget(), WaitForTarget())
    return [MoveByDriver(), *created, copy.CopyVolumeData(), *finish.steps()]


def _differences(ctx: MigrationContext, volume: Record, new_type_id: str | None) -> TypeDifferences:
    """Return how the type that a volume is to have differs from its own."""
    return ctx.types.diff(volume.volume_type_id, new_type_id) if new_type_id else {}


def _driver_may(differences: TypeDifferences) -> bool:
    """Return whether an object that is moved as it is fits the other type."""
    specs = set(differences.get("extra_specs", ()))
    return not (
        differences.get("qos_specs") or differences.get("encryption") or specs - _SAME_OBJECT
    )


def _by_driver(
    ctx: MigrationContext,
    volume: Record,
    host: Mapping[str, Any],
    new_type_id: str | None,
    differences: TypeDifferences,
    commit: Sequence[str],
) -> bool:
    """Have the driver move a volume without attachments; return whether it did."""
    if ctx.attachments.of_volume(volume.id) or not _driver_may(differences):
        return False
    try:
        answer = ctx.driver.migrate_volume(ctx.request, volume, host)
    except NotImplementedError:
        return False
    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[0], bool):
        text = f"returned {type(answer).__name__}, not whether it was moved and columns"
        raise DriverReturnedRubbish(f"migrate_volume of volume {volume.id} {text}")
    moved, columns = answer
    if moved:
        # A driver may return the volume's place, which we know.
        update = driver_contract.model_update(columns, volume, "migrate_volume", ignored=("host",))
        _write_moved(ctx, volume, host, new_type_id, update, commit)
    return moved


def _write_moved(
    ctx: MigrationContext,
    volume: Record,
    host: Mapping[str, Any],
    new_type_id: str | None,
    update: Mapping[str, Any],
    commit: Sequence[str],
) -> None:
    service = ctx.services.serving(host["host"])
    if service is None:
        LOG.warning("volume %s is on %s, of which there is no service", volume.id, host["host"])
    columns = {
        "host": host["host"],
        "cluster_name": host.get("cluster_name"),
        "migration_status": MIGRATION.done,
        "previous_status": volume.status,
        **({"availability_zone": service.availability_zone} if service else {}),
        "service_uuid": service.uuid if service else None,
        **({"volume_type_id": new_type_id} if new_type_id else {}),
        **update,
    }
    status = status_before(ctx, volume) if volume.status in RESTORED else volume.status

    def write(volume_id: str, **columns: Any) -> None:
        ctx.volumes.transition(
            volume_id, status, when=(volume.status,), commit=commit, done=True, **columns
        )

    driver_contract.store(write, volume, columns, "migrate_volume")


def _require_copyable(
    ctx: MigrationContext, volume: Record, new_type_id: str | None, differences: TypeDifferences
) -> None:
    """:raises VolumeMigrationFailed: its data cannot be copied."""
    if volume.status == VolumeStatus.IN_USE or ctx.attachments.of_volume(volume.id):
        instance_swap.only_instance(ctx, volume.id)
    if found := ctx.snapshots.of_volume(volume.id):
        text = f"has {len(found)} snapshots, which would stay behind: delete them first"
        raise VolumeMigrationFailed(f"volume {volume.id} {text}")
    if differences.get("encryption") and not ctx.attachments.of_volume(volume.id):
        for type_id in (volume.volume_type_id, new_type_id):
            plain_data.format_of(ctx, volume, type_id)
