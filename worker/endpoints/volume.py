# SPDX-License-Identifier: Apache-2.0
"""RPC methods on volumes and snapshots (spec/volume-rpc §2)."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

from flows.snapshot import create as snapshot_create
from flows.snapshot import delete as snapshot_delete
from flows.volume import (
    accept_transfer,
    create,
    create_from_backup,
    create_from_image,
    delete,
    extend,
    reimage,
    revert,
    upload,
)
from flows.volume.encryption import clone
from flows.volume.image_cache import create as create_from_cache
from flows.volume.image_volumes import upload_by_clone
from worker.endpoints.arguments import (
    as_list,
    check_id,
    id_of,
    ids_of,
    on_snapshot,
    on_volume,
    snapshot_lock,
    volume_lock,
)
from worker.rpc import codec
from worker.rpc.dispatch import exposed
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

RPC_VERSION = "3.20"


class VolumeEndpoint:
    """Create, change and delete volumes; copy them to images and from images.

    :param image_cache: whether volumes of images are cloned from the cache.
    :param clone_uploads: whether images of volumes are kept in clones of these.
    """

    def __init__(self, *, image_cache: bool = False, clone_uploads: bool = False) -> None:
        self._image_cache = image_cache
        self._clone_uploads = clone_uploads

    @exposed("3.0")
    def create_volume(
        self,
        request: RequestContext,
        volume: Any,
        request_spec: Any = None,
        filter_properties: Any = None,
        allow_reschedule: bool = True,
    ) -> Operation:
        """Create a volume, empty or from the source that its row names."""
        volume_id = id_of(volume, "volume")
        factory, source = _source_of(volume, request_spec)
        if self._image_cache and factory is create_from_image.flow:
            factory = create_from_cache.flow
        shared = [snapshot_lock(s) for s in ids_of(volume, "snapshot_id")]
        shared += [volume_lock(s) for s in ids_of(volume, "source_volid")]
        return Operation(
            factory,
            ("volume", volume_id),
            {
                **source,
                "volume_id": volume_id,
                "request_spec": codec.raw(request_spec),
                "filter_properties": _for_the_scheduler(codec.raw(filter_properties)),
                "allow_reschedule": bool(allow_reschedule),
            },
            exclusive=(volume_lock(volume_id),),
            shared=tuple(shared),
        )

    @exposed("3.0")
    def delete_volume(
        self,
        request: RequestContext,
        volume: Any,
        unmanage_only: bool = False,
        cascade: bool = False,
    ) -> Operation:
        """Delete a volume, with its snapshots when cascading, or only remove its row."""
        return on_volume(
            delete.flow, volume, unmanage_only=bool(unmanage_only), cascade=bool(cascade)
        )

    @exposed("3.0")
    def extend_volume(
        self, request: RequestContext, volume: Any, new_size: Any, reservations: Any = None
    ) -> Operation:
        """Grow a volume to a size in GiB."""
        return on_volume(extend.flow, volume, new_size=new_size, reservations=as_list(reservations))

    @exposed("3.19", quick=True)
    def extend_volume_completion(
        self,
        request: RequestContext,
        volume: Any,
        new_size: Any,
        reservations: Any = None,
        error: bool = False,
    ) -> Operation:
        """Complete an extension in which the host of an attached volume took part."""
        return on_volume(
            extend.completion,
            volume,
            new_size=new_size,
            reservations=as_list(reservations),
            error=bool(error),
        )

    @exposed("3.15")
    def revert_to_snapshot(self, request: RequestContext, volume: Any, snapshot: Any) -> Operation:
        """Revert a volume to one of its snapshots."""
        snapshot_id = id_of(snapshot, "snapshot")
        operation = on_volume(revert.flow, volume, snapshot_id=snapshot_id)
        locks = (*operation.exclusive, snapshot_lock(snapshot_id))
        return Operation(operation.factory, operation.resource, operation.args, locks)

    @exposed("3.16", quick=True)
    def accept_transfer(
        self,
        request: RequestContext,
        volume_id: str,
        new_user: Any,
        new_project: Any,
        no_snapshots: bool = False,
    ) -> Operation:
        """Notify the driver of a volume's new owner; return the columns that it changed."""
        check_id(volume_id, "volume_id")
        operation = on_volume(
            accept_transfer.flow, {"id": volume_id}, new_user=new_user, new_project=new_project
        )
        return dataclasses.replace(operation, when_interrupted="revert")

    @exposed("3.0")
    def copy_volume_to_image(
        self, request: RequestContext, volume_id: str, image_meta: Any
    ) -> Operation:
        """Copy a volume to an existing image."""
        check_id(volume_id, "volume_id")
        meta, volume = codec.raw(image_meta), {"id": volume_id}
        if not (self._clone_uploads and isinstance(meta, dict) and upload_by_clone.fits(meta)):
            return on_volume(upload.flow, volume, image_meta=meta)
        made = str(uuid.uuid4())
        operation = on_volume(upload_by_clone.flow, volume, image_meta=meta, image_volume_id=made)
        return dataclasses.replace(operation, exclusive=(*operation.exclusive, volume_lock(made)))

    @exposed("3.20")
    def reimage(
        self, request: RequestContext, volume: Any, image_meta: Any, image_snap: Any = None
    ) -> Operation:
        """Overwrite a volume with an image."""
        snapshot_id = id_of(image_snap, "image_snap") if image_snap else None
        meta = codec.raw(image_meta)
        operation = on_volume(reimage.flow, volume, image_meta=meta, snapshot_id=snapshot_id)
        if snapshot_id is None:
            return operation
        return dataclasses.replace(operation, shared=(snapshot_lock(snapshot_id),))


class SnapshotEndpoint:
    """Create and delete snapshots."""

    @exposed("3.0")
    def create_snapshot(self, request: RequestContext, snapshot: Any) -> Operation:
        """Create a snapshot."""
        return on_snapshot(snapshot_create.flow, snapshot)

    @exposed("3.0")
    def delete_snapshot(
        self, request: RequestContext, snapshot: Any, unmanage_only: bool = False
    ) -> Operation:
        """Delete a snapshot, or only remove its row."""
        return on_snapshot(snapshot_delete.flow, snapshot, unmanage_only=bool(unmanage_only))


def _source_of(volume: Any, request_spec: Any) -> tuple[Any, dict[str, str]]:
    """Return the flow that creates a volume, and the source in its arguments.

    A source in the row takes precedence; of those in the request, the image.
    """
    if not ids_of(volume, "snapshot_id") and not ids_of(volume, "source_volid"):
        for name, factory in (
            ("image_id", create_from_image.flow),
            ("backup_id", create_from_backup.flow),
        ):
            if found := ids_of(request_spec, name):
                return factory, {name: found[0]}
    if ids_of(volume, "source_volid") and not ids_of(volume, "snapshot_id") and _has_key(volume):
        return clone.flow, {}
    return create.flow, {}


def _has_key(volume: Any) -> bool:
    """Return whether a volume is encrypted; some key managers have ids of other forms than ours."""
    try:
        return bool(volume["encryption_key_id"])
    except (KeyError, TypeError):
        return False


def _for_the_scheduler(filter_properties: Any) -> dict[str, Any] | None:
    """Return the filter properties of a reschedule, None when there will be none.

    They are journalled with every cast. The scheduler adds its own copy of the request
    spec to them each time, so this function removes it.
    """
    if not isinstance(filter_properties, dict) or not filter_properties.get("retry"):
        return None
    return {name: value for name, value in filter_properties.items() if name != "request_spec"}
