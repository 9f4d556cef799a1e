# SPDX-License-Identifier: Apache-2.0
"""Connections to a volume: initialize, terminate, remove the export.

==========  ======================================  ===========================
task        does                                    undone by
==========  ======================================  ===========================
check       driver.validate_connector               (nothing was changed)
export      driver.create_export                    driver.remove_export, unless
                                                    an attachment uses it
connect     driver.initialize_connection, saves     driver.terminate_connection,
            the initiator's data                    if it was interrupted
terminate   driver.terminate_connection             (an ended one stays ended)
unexport    driver.remove_export, unless an         (a removed one stays removed)
            attachment uses it
==========  ======================================  ===========================

An interrupted flow is reverted only without attachments: a connection that is
requested again, as after a migration, may be in use already. So is that of a
caller who got no reply and asked again, as a backup service does: in a cluster
another host may have carried that out before the first request is reverted.

No status is written: these are calls, whose caller waits, and asks again. A caller
gets VolumeBackendAPIException for whatever the driver raised, but InvalidInput for
a connector that it refused, and ExportFailure where its update could not be stored.

Source: seeds, VolumeDriverCore.initialize_connection, terminate_connection;
spec/volume-rpc, initialize_connection; spec/interfaces §2.2.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.records import Record
from flows.context import ConnectionContext, VolumeContext
from flows.driver_calls import connectors, driver_contract
from flows.errors import ExportFailure, Unavailable
from flows.factories import registered
from flows.lifecycle import Step, cause_of, was_interrupted
from flows.statuses import AttachStatus, VolumeStatus
from flows.volume.connections import connection_info

LOG = logging.getLogger(__name__)


class CheckConnector(Step, task="check"):
    """Check volume and connector, before anything is exported. Idempotent: it only reads."""

    def execute(self, ctx: ConnectionContext, volume_id: str, connector: Any) -> None:
        connectors.check(ctx.driver, of_ours(ctx, volume_id), connector)


class ExportVolume(Step, task="export"):
    """Make the volume reachable. Idempotent: an export is made once."""

    def execute(self, ctx: ConnectionContext, volume_id: str, connector: Any) -> None:
        volume, driver = ctx.volumes.get(volume_id), ctx.driver
        try:
            answer = driver.create_export(ctx.request.elevated(), volume, connector)
            update = driver_contract.model_update(answer, volume, "create_export")
        except Exception as error:
            raise driver_contract.backend_error("create_export", volume_id, error) from error
        try:
            driver_contract.store(ctx.volumes.update, volume, update, "create_export")
        except Unavailable:
            raise
        except Exception as error:
            raise ExportFailure(f"volume {volume_id}: {error}") from error

    def revert(
        self, ctx: ConnectionContext, volume_id: str, flow_failures: dict[str, Failure]
    ) -> None:
        if not ctx.repeated and not driver_contract.never_reached_driver(flow_failures):
            unexport(ctx, ctx.volumes.get(volume_id))


class ConnectVolume(Step, task="connect"):
    """Ask the driver how to connect. Idempotent: the seed allows to ask again."""

    default_provides = "result"

    def execute(self, ctx: ConnectionContext, volume_id: str, connector: Any) -> dict[str, Any]:
        return connect(ctx, ctx.volumes.get(volume_id), connector)

    def revert(
        self,
        ctx: ConnectionContext,
        volume_id: str,
        connector: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        if not was_interrupted(cause_of(flow_failures)) or is_used(ctx, volume_id):
            return
        if ctx.repeated:
            LOG.info("the connection of volume %s stays: its caller has asked again", volume_id)
        else:
            terminate(ctx, ctx.volumes.get(volume_id), connector, force=False)


class TerminateVolume(Step, task="terminate"):
    """End a connector's access, or all access without a connector. Idempotent."""

    def execute(self, ctx: ConnectionContext, volume_id: str, connector: Any, force: bool) -> None:
        volume = of_ours(ctx, volume_id)
        if not _is_used_again(ctx, volume):
            terminate(ctx, volume, connector, force)


class UnexportVolume(Step, task="unexport"):
    """Take the export away. Idempotent: none is a success.

    An export that an attachment uses stays: the call comes from a service that has ended its
    own connection, and may be an old one.
    """

    def execute(self, ctx: ConnectionContext, volume_id: str) -> None:
        volume = of_ours(ctx, volume_id)
        if volume.status != VolumeStatus.DETACHING and is_used(ctx, volume_id):
            LOG.warning("volume %s is attached, its export stays", volume_id)
            return
        driver = ctx.driver
        try:
            driver.remove_export(ctx.request.elevated(), volume)
        except Exception as error:
            raise driver_contract.backend_error("remove_export", volume_id, error) from error


@registered
def initialize() -> linear_flow.Flow:
    """Let a connector reach a volume. Needs ``volume_id`` and ``connector``."""
    return linear_flow.Flow("initialize_connection").add(
        CheckConnector(), ExportVolume(), ConnectVolume()
    )


@registered
def terminate_flow() -> linear_flow.Flow:
    """End access. Needs ``volume_id``, ``connector`` (None for all) and ``force``."""
    return linear_flow.Flow("terminate_connection").add(TerminateVolume())


@registered
def remove_export() -> linear_flow.Flow:
    """Remove the export. Needs ``volume_id``."""
    return linear_flow.Flow("remove_export").add(UnexportVolume())


def of_ours(ctx: ConnectionContext, volume_id: str) -> Record:
    """Return a volume of this backend. :raises Invalid: it is another one's."""
    volume = ctx.volumes.get(volume_id)
    driver_contract.require_on_this_backend(ctx, volume, volume)
    return volume


def is_used(ctx: VolumeContext, volume_id: str, *, besides: str | None = None) -> bool:
    """Return whether the volume is connected: an attachment has a connector.

    :param besides: an attachment that does not count.
    """
    return any(
        attachment.connector or attachment.attach_status == AttachStatus.ATTACHED
        for attachment in ctx.attachments.of_volume(volume_id)
        if attachment.id != besides
    )


def unexport(ctx: VolumeContext, volume: Record, *, besides: str | None = None) -> None:
    """Remove a volume's export, unless an attachment uses it.

    A volume has one export for all its hosts: the last attachment that ends removes it.

    :param besides: the id of an attachment that ends.
    """
    if is_used(ctx, volume.id, besides=besides):
        LOG.info("volume %s is attached, its export stays", volume.id)
    else:
        ctx.driver.remove_export(ctx.request.elevated(), volume)


def _is_used_again(ctx: ConnectionContext, volume: Record) -> bool:
    """Return whether a resumed call would cut off a user of the volume.

    The call may have ended before, and its caller is gone in any case.
    """
    if not ctx.resumed or volume.status == VolumeStatus.DETACHING:
        return False
    if used := is_used(ctx, volume.id):
        LOG.warning("volume %s is attached, its connections stay", volume.id)
    return used


def connect(ctx: ConnectionContext, volume: Record, connector: Mapping[str, Any]) -> dict[str, Any]:
    """Return connection info, completed; the initiator's data is read and saved.

    :raises VolumeBackendAPIException: any error of the driver, or a malformed answer.
    """
    driver = ctx.driver
    kept = _initiator_data(ctx, driver, connector)
    try:
        if kept is None:
            answer = driver.initialize_connection(volume, connector)
        else:
            answer = driver.initialize_connection(volume, connector, initiator_data=kept)
        info = driver_contract.connection_info(answer, volume)
        _save_updates(ctx, connector, info)
    except Exception as error:
        raise driver_contract.backend_error("initialize_connection", volume.id, error) from error
    info["data"] = connection_info.complete(ctx, volume, connector, info["data"])
    return info


def terminate(
    ctx: ConnectionContext, volume: Record, connector: Mapping[str, Any] | None, force: bool
) -> bool | None:
    """End access and return the driver's answer about shared connections."""
    driver = ctx.driver
    forced = {"force": force} if driver_contract.takes(driver.terminate_connection, "force") else {}
    try:
        return driver.terminate_connection(volume, connector, **forced)
    except Exception as error:
        raise driver_contract.backend_error("terminate_connection", volume.id, error) from error


def _initiator_data(
    ctx: ConnectionContext, driver: Any, connector: Mapping[str, Any]
) -> dict[str, str] | None:
    initiator = connector.get("initiator")
    if not initiator or not driver_contract.takes(driver.initialize_connection, "initiator_data"):
        return None
    return ctx.initiators.get(initiator, ctx.backend.initiator_namespace()) or None


def _save_updates(
    ctx: ConnectionContext, connector: Mapping[str, Any], info: dict[str, Any]
) -> None:
    """Save ``initiator_updates`` (older drivers: singular); the caller does not get it."""
    asked = [info.pop(name, None) for name in ("initiator_updates", "initiator_update")]
    updates = asked[0] or asked[1]
    if not updates:
        return
    initiator = connector.get("initiator")
    if not isinstance(updates, dict) or not initiator:
        raise VolumeBackendAPIException("initiator_updates is no dict, or has no initiator")
    set_values, removed = updates.get("set_values") or {}, updates.get("remove_values") or []
    if not isinstance(set_values, dict) or not isinstance(removed, list):
        raise VolumeBackendAPIException("initiator_updates wants a dict to set, a list to remove")
    ctx.initiators.save(initiator, ctx.backend.initiator_namespace(), set_values, removed)
