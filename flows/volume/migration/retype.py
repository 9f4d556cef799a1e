# SPDX-License-Identifier: Apache-2.0
"""Give a volume another type: in place, or by a migration where the caller allows it.

=======  ===========================================  ==============================
task     does                                         undone by
=======  ===========================================  ==============================
begin    checks that it is here and ``retyping``      the status before; both
                                                      reservations are given back
change   types that do not differ: the row; else      (it is changed, or nothing
         driver.retype, on this backend: the row,     was)
         its snapshots, the quota, the status before
...      the tasks of ``migrate``, if the driver did  as there
         not change it
tell     notifies, requests a report                  (point of no return)
=======  ===========================================  ==============================

Source: spec/volume-rpc, retype; spec/interfaces §8.
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
from flows.errors import (
    DriverReturnedRubbish,
    InvalidInput,
    InvalidVolume,
    StatusChanged,
    Unavailable,
    VolumeMigrationFailed,
)
from flows.factories import registered
from flows.lifecycle import Statuses, Step
from flows.replication_statuses import SWITCHED, is_replicated
from flows.statuses import VolumeStatus
from flows.volume.lifecycle import began_elsewhere, find
from flows.volume.migration import migrate
from flows.volume.migration.status_tables import (
    MIGRATION,
    STARTING,
    end_failed_migration,
    status_before,
)

LOG = logging.getLogger(__name__)

STATUSES = Statuses(during=(VolumeStatus.RETYPING,))
"""Success and failure give back the status that the volume had before."""

_NOT_MIGRATING = (None, MIGRATION.success, MIGRATION.failed, STARTING)
_HANDED_OVER = (MIGRATION.during[1], MIGRATION.during[2])
"""Migration statuses that come later than the first step, and may stay after the last."""

_REPLICATION = "replication_enabled"
"""The extra spec that says whether volumes are replicated."""


class BeginRetype(Step, task="begin"):
    """Check the volume, and choose the id of a copy. Idempotent: it only reads."""

    bookkeeping = True

    default_provides = "spare_id"  # the id of the copy; journals store this name

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the volume while it is retyped."""
        return Claim("volume", str(args["volume_id"]), STATUSES.during)

    def execute(self, ctx: MigrationContext, volume_id: str) -> str:
        volume = ctx.volumes.get(volume_id)
        driver_contract.require_on_this_backend(ctx, volume, volume)
        if volume.status not in STATUSES.during:
            raise StatusChanged(f"volume {volume_id}", volume.status, STATUSES.during)
        if ctx.resumed and volume.migration_status in _HANDED_OVER:
            text = f"{volume.status} by a compute service"
            raise StatusChanged(f"volume {volume_id}", text, STATUSES.during)
        return ctx.own_id("copy")

    def reopen(self, ctx: MigrationContext, args: Mapping[str, Any]) -> None:
        """Refuse: the failure has rolled the reservations back."""
        text = f"volume {args['volume_id']}: its reservations were given back, ask for it again"
        raise InvalidInput(text)

    def revert(
        self,
        ctx: MigrationContext,
        volume_id: str,
        reservations: list[str],
        old_reservations: list[str],
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        held = [*reservations, *old_reservations]
        if began_elsewhere(ctx, volume_id, result):
            ctx.quotas.rollback(held)  # only this flow knows them
            return
        end_failed_migration(ctx, volume_id, rollback=held)


class ChangeType(Step, task="change"):
    """Change the type in place where possible; provide whether it was.

    Idempotent: a driver that has changed it says so again, and a row that has the new type
    was written by the interrupted try.
    """

    default_provides = "retyped"

    def execute(
        self,
        ctx: MigrationContext,
        volume_id: str,
        new_type_id: str,
        host: Mapping[str, Any],
        migration_policy: str,
        reservations: list[str],
        old_reservations: list[str],
    ) -> bool:
        volume, held = ctx.volumes.current(volume_id), [*reservations, *old_reservations]
        if volume.status not in STATUSES.during:
            if volume.volume_type_id == new_type_id:
                return True
            raise StatusChanged(f"volume {volume_id}", volume.status, STATUSES.during)
        ctx.backend.require_driver()
        differences = ctx.types.diff(volume.volume_type_id, new_type_id)
        update = _retyped(ctx, volume, new_type_id, differences, host)
        if update is not None:
            _write(ctx, volume, new_type_id, differences, update, held)
            return True
        _require_migratable(ctx, volume, migration_policy)
        ctx.volumes.migrate(volume_id, STARTING, when=_NOT_MIGRATING)
        return False


class NotifyRetyped(Step, task="tell"):
    """Notify of the new type. Idempotent: it notifies again."""

    def execute(self, ctx: MigrationContext, volume_id: str, new_type_id: str) -> None:
        volume = find(ctx, volume_id)
        if volume is not None:
            ctx.notifier.volume(ctx.request, "retype", volume, volume_type=new_type_id)
        ctx.backend.request_report()


@registered
def flow() -> linear_flow.Flow:
    """Retype a volume.

    Needs ``volume_id``, ``new_type_id``, ``host`` with its ``host``, ``cluster_name`` and
    ``capabilities``, ``migration_policy``, ``reservations`` and ``old_reservations``.
    """
    return linear_flow.Flow("retype").add(
        BeginRetype(), ChangeType(), *migrate.steps(), NotifyRetyped()
    )


def _retyped(
    ctx: MigrationContext,
    volume: Record,
    new_type_id: str,
    differences: Mapping[str, Any],
    host: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Return the columns of a volume that has changed; None where it has not."""
    if not any(differences.values()):
        return {}
    if differences["encryption"] or not driver_contract.on_this_backend(ctx, host):
        return None
    try:
        new_type = ctx.types.get(new_type_id)
        assert new_type is not None
        answer = ctx.driver.retype(ctx.request, volume, new_type, differences, host)
        done, update = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
        if not isinstance(done, bool):
            text = f"returned a {type(done).__name__}, not whether it was retyped"
            raise DriverReturnedRubbish(f"retype of volume {volume.id} {text}")
        where = {"host": host["host"], "cluster_name": host.get("cluster_name")}
        return {**where, **driver_contract.model_update(update, volume, "retype")} if done else None
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - a driver may raise anything at all
        text = f"{type(error).__name__}: {driver_contract.masked(error)}"
        LOG.warning("volume %s was not changed in place: %s", volume.id, text)
        return None


def _write(
    ctx: MigrationContext,
    volume: Record,
    new_type_id: str,
    differences: Mapping[str, Any],
    update: Mapping[str, Any],
    commit: Sequence[str],
) -> None:
    """Write the new type, and its related columns, in one transaction."""
    status, columns = status_before(ctx, volume), {"volume_type_id": new_type_id, **update}
    if _REPLICATION in differences.get("extra_specs", ()):
        wanted = differences["extra_specs"][_REPLICATION][1]
        columns.setdefault("replication_status", SWITCHED[wanted == "<is> True"])

    def write(volume_id: str, **columns: Any) -> None:
        ctx.volumes.transition(
            volume_id, status, when=STATUSES.during, commit=commit, done=True, **columns
        )

    driver_contract.store(write, volume, columns, "retype")


def _require_migratable(ctx: MigrationContext, volume: Record, policy: str) -> None:
    """Refuse to migrate a volume for its new type.

    :raises VolumeMigrationFailed: the caller did not allow it.
    :raises InvalidVolume: it cannot be migrated.
    """
    label = f"volume {volume.id}"
    if policy != "on-demand":
        text = "does not change to this type where it is, and the policy is never to migrate it"
        raise VolumeMigrationFailed(f"{label} {text}")
    if found := ctx.snapshots.of_volume(volume.id):
        raise InvalidVolume(f"{label} has {len(found)} snapshots, which cannot be migrated")
    if is_replicated(volume):
        raise InvalidVolume(f"{label} is replicated ({volume.replication_status}): not migrated")
