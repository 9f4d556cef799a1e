# SPDX-License-Identifier: Apache-2.0
"""Notify the driver of a volume's new owner.

=======  ===========================================  ================================
task     does                                         undone by
=======  ===========================================  ================================
check    refuses another backend's volume             (nothing was changed)
tell     driver.accept_transfer; its columns are      interrupted: driver.accept_transfer
         stored, and the answer                       of the owner in the row; columns that
                                                      cannot be stored: ``error``
=======  ===========================================  ================================

The API moves the owner and the quota after the answer. Source: spec/volume-rpc,
accept_transfer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows.claims import Claim
from flows.context import VolumeContext
from flows.driver_calls import driver_contract
from flows.errors import DriverReturnedRubbish, StatusChanged
from flows.factories import registered
from flows.lifecycle import Statuses, Step, was_interrupted
from flows.statuses import VolumeStatus
from flows.volume.lifecycle import LOG, find

CALL = "accept_transfer"

STATUSES = Statuses(during=(), failure={DriverReturnedRubbish: VolumeStatus.ERROR})
"""Any other failure, and a success, leave the status as it is."""


ACCEPTED = (VolumeStatus.AWAITING_TRANSFER,)


class CheckTransfer(Step, task="check"):
    """Refuse a volume of another backend. Idempotent: it only reads."""

    bookkeeping = True

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the volume until it has its new owner."""
        return Claim("volume", str(args["volume_id"]), ACCEPTED, unmarked=True)

    def execute(self, ctx: VolumeContext, volume_id: str) -> None:
        volume = ctx.volumes.get(volume_id)
        driver_contract.require_on_this_backend(ctx, volume, volume)


class NotifyTransfer(Step, task="tell"):
    """Notify the driver of the new owner. Idempotent: notifying it twice is harmless."""

    default_provides = "result"

    def execute(
        self, ctx: VolumeContext, volume_id: str, new_user: str, new_project: str
    ) -> dict[str, Any] | None:
        return _call_driver(ctx, ctx.volumes.get(volume_id), new_user, new_project)

    def revert(self, ctx: VolumeContext, volume_id: str, result: Any) -> None:
        volume = find(ctx, volume_id)
        if volume is None or not isinstance(result, Failure):
            return
        if result.check(DriverReturnedRubbish):
            _set_failed(ctx, volume, STATUSES.after(result))
        elif was_interrupted(result):  # a driver that raised has left the owner who it was
            _call_driver(ctx, volume, volume.user_id, volume.project_id)


@registered
def flow() -> linear_flow.Flow:
    """Let a volume get another owner. Needs ``volume_id``, ``new_user`` and ``new_project``."""
    return linear_flow.Flow(CALL).add(CheckTransfer(), NotifyTransfer())


def _call_driver(
    ctx: VolumeContext, volume: Record, user: str, project: str
) -> dict[str, Any] | None:
    try:
        answer = ctx.driver.accept_transfer(ctx.request, volume, user, project)
    except NotImplementedError:
        return None
    except Exception as error:
        raise driver_contract.backend_error(CALL, volume.id, error) from error
    update = _sendable(driver_contract.model_update(answer, volume, CALL), volume)
    driver_contract.store(ctx.volumes.update, volume, update, CALL)
    return update or None


def _set_failed(ctx: VolumeContext, volume: Record, status: str) -> None:
    try:
        ctx.volumes.transition(volume.id, status, when=(volume.status,))
    except StatusChanged as error:
        LOG.warning("volume %s is left as it is: %s", volume.id, error)


def _sendable(update: dict[str, Any], volume: Record) -> dict[str, Any]:
    """Return an update that a message can carry. :raises DriverReturnedRubbish: it is none."""
    try:
        json.dumps(update)
    except (TypeError, ValueError) as error:
        text = f"{CALL} of volume {volume.id} returned values that are not JSON: {error}"
        raise DriverReturnedRubbish(text) from error
    return update
