# SPDX-License-Identifier: Apache-2.0
"""Connections to a snapshot, for a backup of it: initialize, terminate, remove the export.

==========  ========================================  =================================
task        does                                      undone by
==========  ========================================  =================================
check       driver.validate_connector                 (nothing was changed)
export      driver.create_export_snapshot             driver.remove_export_snapshot
connect     driver.initialize_connection_snapshot,    driver.terminate_connection_snapshot,
            adds ``enforce_multipath``                if it was interrupted
terminate   driver.terminate_connection_snapshot      (a removed one stays removed)
unexport    driver.remove_export_snapshot             (a removed one stays removed)
==========  ========================================  =================================

No status is written: these are calls, whose caller waits, and asks again.

Source: seeds, VolumeDriverCore.initialize_connection_snapshot; spec/volume-rpc.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows.context import VolumeContext
from flows.driver_calls import connectors, driver_contract
from flows.factories import registered
from flows.lifecycle import Step, cause_of, was_interrupted


class CheckSnapshotConnector(Step, task="check"):
    """Check snapshot and connector, before anything is exported. Idempotent: it only reads."""

    def execute(self, ctx: VolumeContext, snapshot_id: str, connector: Any) -> None:
        connectors.check(ctx.driver, of_ours(ctx, snapshot_id), connector)


class ExportSnapshot(Step, task="export"):
    """Make the snapshot reachable. Idempotent: an export is made once."""

    def execute(self, ctx: VolumeContext, snapshot_id: str, connector: Any) -> None:
        snapshot, driver = of_ours(ctx, snapshot_id), ctx.driver
        answer = _asked(
            "create_export_snapshot",
            snapshot,
            lambda: driver.create_export_snapshot(ctx.request.elevated(), snapshot, connector),
        )
        update = driver_contract.model_update(answer, snapshot, "create_export_snapshot")
        driver_contract.store(ctx.snapshots.update, snapshot, update, "create_export_snapshot")

    def revert(
        self, ctx: VolumeContext, snapshot_id: str, flow_failures: dict[str, Failure]
    ) -> None:
        if not ctx.repeated and not driver_contract.never_reached_driver(flow_failures):
            snapshot = ctx.snapshots.get(snapshot_id)
            ctx.driver.remove_export_snapshot(ctx.request.elevated(), snapshot)


class ConnectSnapshot(Step, task="connect"):
    """Ask the driver how to connect. Idempotent: it may be asked again."""

    default_provides = "result"

    def execute(self, ctx: VolumeContext, snapshot_id: str, connector: Any) -> dict[str, Any]:
        snapshot, driver = ctx.snapshots.get(snapshot_id), ctx.driver
        answer = _asked(
            "initialize_connection_snapshot",
            snapshot,
            lambda: driver.initialize_connection_snapshot(snapshot, connector),
        )
        info = driver_contract.connection_info(answer, snapshot)
        info["data"]["enforce_multipath"] = connectors.enforce_multipath(connector)
        return info

    def revert(
        self,
        ctx: VolumeContext,
        snapshot_id: str,
        connector: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        if was_interrupted(cause_of(flow_failures)) and not ctx.repeated:
            snapshot = ctx.snapshots.get(snapshot_id)
            ctx.driver.terminate_connection_snapshot(snapshot, connector)


class TerminateSnapshot(Step, task="terminate"):
    """End a connector's access, or all access without a connector. Idempotent."""

    def execute(self, ctx: VolumeContext, snapshot_id: str, connector: Any, force: bool) -> None:
        snapshot, driver = of_ours(ctx, snapshot_id), ctx.driver
        forced = driver_contract.takes(driver.terminate_connection_snapshot, "force")
        options = {"force": force} if forced else {}
        _asked(
            "terminate_connection_snapshot",
            snapshot,
            lambda: driver.terminate_connection_snapshot(snapshot, connector, **options),
        )


class UnexportSnapshot(Step, task="unexport"):
    """Take the export away. Idempotent: none is a success."""

    def execute(self, ctx: VolumeContext, snapshot_id: str) -> None:
        snapshot, driver = of_ours(ctx, snapshot_id), ctx.driver
        _asked(
            "remove_export_snapshot",
            snapshot,
            lambda: driver.remove_export_snapshot(ctx.request.elevated(), snapshot),
        )


@registered
def initialize() -> linear_flow.Flow:
    """Let a connector read a snapshot. Needs ``snapshot_id`` and ``connector``."""
    return linear_flow.Flow("initialize_connection_snapshot").add(
        CheckSnapshotConnector(), ExportSnapshot(), ConnectSnapshot()
    )


@registered
def terminate() -> linear_flow.Flow:
    """End access. Needs ``snapshot_id``, ``connector`` (None for all) and ``force``."""
    return linear_flow.Flow("terminate_connection_snapshot").add(TerminateSnapshot())


@registered
def remove_export() -> linear_flow.Flow:
    """Remove the export. Needs ``snapshot_id``."""
    return linear_flow.Flow("remove_export_snapshot").add(UnexportSnapshot())


def of_ours(ctx: VolumeContext, snapshot_id: str) -> Record:
    """Return a snapshot of this backend. :raises Invalid: it is another one's."""
    snapshot = ctx.snapshots.get(snapshot_id)
    driver_contract.require_on_this_backend(ctx, snapshot, snapshot.volume)
    return snapshot


def _asked(call: str, snapshot: Record, ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        raise driver_contract.backend_error(call, snapshot.id, error, "snapshot") from error
