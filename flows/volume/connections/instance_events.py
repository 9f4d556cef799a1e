# SPDX-License-Identifier: Apache-2.0
"""Notify the compute service of changes to volumes of its instances.

Source: spec/volume-rpc, extend_volume and reimage.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from drivers.interface.errors import ComputeError
from flows import messages
from flows.context import InstanceContext
from flows.lifecycle import Step
from flows.statuses import VolumeStatus
from flows.volume.lifecycle import find

LOG = logging.getLogger(__name__)

_Send = Callable[[Any, str, Sequence[str]], None]


class NotifyExtended(Step, task="tell_extended"):
    """Notify of the extended volume.

    Idempotent: it notifies again. It fails nothing: the volume has its size.
    """

    only_notifies = True

    def execute(self, ctx: InstanceContext, volume_id: str) -> None:
        about = (messages.EXTEND_VOLUME, messages.COMPUTE_EXTEND)
        _notify(ctx, volume_id, ctx.compute.volume_extended, *about)


class NotifyReimaged(Step, task="tell_reimaged"):
    """Notify of the reimaged volume, where an instance waits for it with the volume reserved.

    Idempotent: it notifies again. It fails nothing: the volume has its image.
    """

    only_notifies = True

    def execute(self, ctx: InstanceContext, volume_id: str) -> None:
        volume, about = find(ctx, volume_id), (messages.REIMAGE_VOLUME, messages.COMPUTE_REIMAGE)
        if volume is not None and volume.status == VolumeStatus.RESERVED:
            _notify(ctx, volume_id, ctx.compute.volume_reimaged, *about)


def of_volume(ctx: InstanceContext, volume_id: str) -> Sequence[str]:
    """Return the ids of the instances that have a volume, each once."""
    attachments = ctx.attachments.of_volume(volume_id)
    return list(dict.fromkeys(str(one.instance_uuid) for one in attachments if one.instance_uuid))


def _notify(ctx: InstanceContext, volume_id: str, send: _Send, action: str, detail: str) -> None:
    instances = of_volume(ctx, volume_id)
    if not instances:
        return
    try:
        with ctx.waiting():
            send(ctx.request, volume_id, instances)
    except ComputeError as error:
        LOG.warning("volume %s: the compute service was not notified: %s", volume_id, error)
        if (volume := find(ctx, volume_id)) is not None:
            ctx.messages.create(ctx.request, volume, action=action, detail=detail)
