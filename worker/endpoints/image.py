# SPDX-License-Identifier: Apache-2.0
"""RPC methods between volumes and images (spec/volume-rpc §2)."""

from __future__ import annotations

from typing import Any

from flows.volume import reimage, upload
from worker.endpoints.arguments import check_id, id_of, on_volume
from worker.endpoints.operation import Operation
from worker.rpc import codec
from worker.rpc.context import RequestContext
from worker.rpc.dispatch import exposed


class ImageMethods:
    """Volumes into images, and images over volumes."""

    @exposed("3.0")
    def copy_volume_to_image(
        self, request: RequestContext, volume_id: str, image_meta: Any
    ) -> Operation:
        """Write a volume into an image that is there."""
        check_id(volume_id, "volume_id")
        return on_volume(upload.flow, {"id": volume_id}, image_meta=codec.raw(image_meta))

    @exposed("3.20")
    def reimage(
        self, request: RequestContext, volume: Any, image_meta: Any, image_snap: Any = None
    ) -> Operation:
        """Write an image over a volume."""
        snapshot_id = id_of(image_snap, "image_snap") if image_snap else None
        meta = codec.raw(image_meta)
        return on_volume(reimage.flow, volume, image_meta=meta, snapshot_id=snapshot_id)
