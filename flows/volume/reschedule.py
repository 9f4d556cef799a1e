# SPDX-License-Identifier: Apache-2.0
"""Give a volume that could not be created here back to the scheduler.

Source: spec/volume-rpc, create_volume, the table of failures.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any

from oslo_utils import timeutils
from taskflow.types.failure import Failure

from drivers.interface import errors as driver_errors
from drivers.interface.records import Record
from flows import errors, messages
from flows.context import CreateContext
from flows.lifecycle import Statuses
from flows.storable_errors import text_of
from flows.volume.lifecycle import set_failed

LOG = logging.getLogger(__name__)

NOT_RESCHEDULED = (
    driver_errors.ImageError,
    errors.MetadataCopyFailure,
    errors.VolumeNotFound,
    errors.SnapshotNotFound,
    errors.BackupNotFound,
    errors.InvalidBackup,
    errors.ServiceUnreachable,
    errors.VolumeTypeNotFound,
    errors.InvalidInput,
    errors.OperationInterrupted,
)
"""Another backend would fail in the same way, and a killer of services kills the next one."""


_NOWHERE: Mapping[str, Any] = {"host": None, "cluster_name": None}
"""Columns of a volume that has no backend."""


def is_possible(
    request_spec: Any, filter_properties: Mapping[str, Any] | None, failure: Failure
) -> bool:
    """Return whether the scheduler may try another backend."""
    if not request_spec or not (filter_properties or {}).get("retry"):
        return False
    return failure.check(*NOT_RESCHEDULED) is None


def return_to_scheduler(
    ctx: CreateContext,
    volume: Record,
    statuses: Statuses,
    request_spec: Any,
    filter_properties: Mapping[str, Any],
    failure: Failure,
    detail: str | None,
) -> None:
    """Give the volume back to the scheduler, without a host and still ``creating``.

    :param detail: number of a user message about this try; None: there is none.

    The object on this backend has been deleted before, so it cannot race with the next try.
    Killed between the row and the cast, it casts again: a second cast is met by a
    compare-and-set, a lost one by none.
    """
    now = timeutils.utcnow()
    creating = statuses.during[0]
    try:
        ctx.volumes.transition(
            volume.id, creating, when=statuses.during, scheduled_at=now, **_NOWHERE
        )
    except (errors.StatusChanged, errors.NotFound) as error:
        LOG.warning("volume %s is not rescheduled: %s", volume.id, error)
        return
    ctx.workers.offer("Volume", volume.id, creating)
    if detail is not None:
        ctx.messages.create(ctx.request, volume, action=messages.CREATE_VOLUME, detail=detail)
    retry = {**filter_properties["retry"], "exc": _formatted(failure)}
    onward = volume.replace(status=creating, scheduled_at=now, **_NOWHERE)
    try:
        ctx.scheduler.create_volume(
            ctx.request, onward, request_spec, {**filter_properties, "retry": retry}
        )
    except Exception as error:  # noqa: BLE001 - the volume must not stay creating
        LOG.error("volume %s could not be handed to the scheduler: %s", volume.id, text_of(error))
        place = {column: volume[column] for column in _NOWHERE}
        set_failed(ctx, volume, statuses.during, statuses.failed, **place)
        return
    LOG.info("volume %s goes back to the scheduler for another backend", volume.id)


def _formatted(failure: Failure) -> list[str]:
    if failure.exc_info is not None:
        return traceback.format_exception(*failure.exc_info)
    return [str(failure.traceback_str), failure.exception_str]
