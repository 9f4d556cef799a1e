# SPDX-License-Identifier: Apache-2.0
"""Tell the compute service what became of a volume that its instances have.

Source: spec/volume-rpc, extend_volume and reimage.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from drivers.interface.errors import ComputeError
from flows import messages
from flows.context import Context
from flows.lifecycle import Step
from flows.volume.lifecycle import find

LOG = logging.getLogger(__name__)


class _Tell(Step):
    """The step that both have."""

    def _tell(self, ctx: Context, volume_id: str, call: str, action: str, detail: str) -> None:
        instances = of_volume(ctx, volume_id)
        if not instances:
            return
        try:
            with ctx.waiting():
                getattr(ctx.compute, call)(ctx.request, volume_id, instances)
        except ComputeError as error:
            LOG.warning("volume %s: %s, the compute service: %s", volume_id, call, error)
            if (volume := find(ctx, volume_id)) is not None:
                ctx.messages.create(ctx.request, volume, action=action, detail=detail)


class TellExtended(_Tell):
    """Tell that the volume has grown.

    Idempotent: it is told again. It fails nothing: the volume has its size.
    """

    def execute(self, ctx: Context, volume_id: str) -> None:
        self._tell(
            ctx, volume_id, "volume_extended", messages.EXTEND_VOLUME, messages.COMPUTE_EXTEND
        )


class TellReimaged(_Tell):
    """Tell that the volume has its image, where somebody waits for it with the volume reserved.

    Idempotent: it is told again. It fails nothing: the volume has its image.
    """

    def execute(self, ctx: Context, volume_id: str) -> None:
        volume = find(ctx, volume_id)
        if volume is not None and volume.status == "reserved":
            self._tell(
                ctx, volume_id, "volume_reimaged", messages.REIMAGE_VOLUME, messages.COMPUTE_REIMAGE
            )


def of_volume(ctx: Context, volume_id: str) -> Sequence[str]:
    """Return the ids of the instances that have a volume, each once."""
    attachments = ctx.attachments.of_volume(volume_id)
    return list(dict.fromkeys(str(one.instance_uuid) for one in attachments if one.instance_uuid))
