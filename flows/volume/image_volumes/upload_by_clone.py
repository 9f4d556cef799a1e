# SPDX-License-Identifier: Apache-2.0
"""Make an image of a volume without sending its data: a clone of the volume keeps it.

========  ==========================================  ===============================
task      does                                        undone by
========  ==========================================  ===============================
begin     checks that the volume is here and          the image is deleted where it
          ``uploading``                               has no data; ``in-use`` with
                                                      attachments, else
                                                      ``available``; a message
reserve   the row of the clone, and quota of its      the row goes, and its quota
          owner
clone     driver.create_cloned_volume; the clone is   the image is deleted, unless it
          ``available``                               is whole; driver.delete_volume
register  gives the image service the location of
          the clone, and waits until the image
          has its data
upload    sends the data, unless the image has it     temporary files go
finish    ``in-use`` with attachments, else           (point of no return)
          ``available``
========  ==========================================  ===============================

A failure of the clone, or of its registration, removes the clone, and the data is sent: the user
sees no difference. The clone goes only where the image service says that the image can do without
it; otherwise the upload fails. An image that is whole keeps its clone, whatever happens afterwards,
also where it is deactivated. The clone is locked as long as the operation lasts, except for
connections: the image service may read it.

Source: seeds, VolumeDriverCore.copy_volume_to_image; spec/volume-rpc,
copy_volume_to_image.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from taskflow.patterns import linear_flow

from drivers.interface.records import Record
from flows.context import CloneUploads, ImageContext, VolumeContext
from flows.driver_calls import driver_contract
from flows.errors import NotFound, OperationInterrupted, OverQuota, StatusChanged, Unavailable
from flows.factories import registered
from flows.image import facts
from flows.lifecycle import Statuses, Step
from flows.statuses import AttachStatus, VolumeStatus
from flows.volume import create, delete, upload
from flows.volume.data import temporary_objects
from flows.volume.image_volumes import clone_of_image, clone_registration
from flows.volume.lifecycle import find

LOG = logging.getLogger(__name__)

GLANCE_IMAGE_ID = "glance_image_id"
"""Metadata of a volume: the image that it keeps."""

_PLACE = ("host", "cluster_name", "availability_zone", "volume_type_id", "size")
_READ_ONLY = {"readonly": "True"}
STATUSES = Statuses(
    during=(VolumeStatus.CREATING, VolumeStatus.DELETING),
    success=VolumeStatus.AVAILABLE,
    failure={Exception: VolumeStatus.ERROR_DELETING},
)
"""Of the clone; those of the volume are in :mod:`flows.volume.upload`."""

ATTACHMENTS = Statuses(during=(AttachStatus.DETACHED,))

_MAKING, _REMOVING = STATUSES.during
_READY = STATUSES.done
_REMOVABLE = (*STATUSES.during, _READY)
_GOING = (_REMOVING, STATUSES.failed)
_IMAGE_SIZE = "image_size"
"""Metadata of a volume: the size of the image in it for Glance. A user's is not copied."""


class ReserveImageVolume(Step, task="reserve"):
    """Make the row of the clone; provide whether the volume may be cloned.

    Idempotent: the row has the id of the operation's arguments, which its reservation has too.
    """

    bookkeeping = True

    default_provides = "reserved"

    def execute(
        self, ctx: ImageContext, volume_id: str, image_meta: dict[str, Any], image_volume_id: str
    ) -> bool:
        volume, image = upload.own_image(ctx, volume_id, image_meta)
        options = ctx.options.clone_uploads
        if options is None or volume.encryption_key_id:
            reason = "its clone would be encrypted" if options else "this is not enabled any more"
            LOG.info("volume %s is sent to image %s: %s", volume_id, image["id"], reason)
            self.revert(ctx=ctx, image_volume_id=image_volume_id)  # an interrupted try's row
            return False
        assert ctx.driver is not None  # raises where it is not up, before there is a row
        made = _make_row(ctx, volume, image["id"], image_volume_id, options)
        if find(ctx, image_volume_id) is None:
            return False  # it was removed: the journal is older than the rows
        try:
            ctx.quotas.reserve_for(made, {"volumes": 1, "gigabytes": made.size})
        except OverQuota as error:
            text = "volume %s is sent to image %s, not cloned: %s"
            LOG.warning(text, volume_id, image["id"], error)
            _forget(ctx, made)
            return False
        ctx.notifier.volume(ctx.request, "create.start", made)
        return True

    def revert(self, ctx: VolumeContext, image_volume_id: str) -> None:
        made = find(ctx, image_volume_id)
        if made is not None and made.status == _MAKING:
            _forget(ctx, made)

    def remove_temporary(
        self, ctx: ImageContext, known: Mapping[str, Any], begun: Collection[str]
    ) -> None:
        """Remove the row of an operation that has ended otherwise."""
        if CloneVolume.task_name not in begun:
            self.revert(ctx=ctx, image_volume_id=known["image_volume_id"])


class CloneVolume(Step, task="clone"):
    """Clone the volume; provide whether that was possible.

    Idempotent: a clone that is ``creating`` is made anew; another one is whole, or goes.
    """

    default_provides = "cloned"

    def execute(
        self, ctx: ImageContext, volume_id: str, image_volume_id: str, reserved: bool
    ) -> bool:
        if not reserved:
            return False
        volume, made = ctx.volumes.get(volume_id), find(ctx, image_volume_id)
        if made is None:
            return False  # an interrupted try has removed it
        if ctx.resumed and made.status != _MAKING:
            return made.status not in _GOING  # it may be in use: the image service reads it
        try:
            if ctx.resumed:
                _clear(ctx, volume, made)
            call, answer = create.clone(ctx, made, volume)
            create.store(ctx, made, call, answer)
            columns = {**create.launched(ctx), "use_quota": True}
            ctx.volumes.transition(
                made.id, _READY, when=(_MAKING,), commit=[made.id], done=True, **columns
            )
        except (Unavailable, OperationInterrupted):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the data can be sent
            text = f"{type(error).__name__}: {driver_contract.masked(error)}"
            LOG.warning("volume %s is sent to its image, it cannot be cloned: %s", volume.id, text)
            _remove(ctx, volume, made.id)
            return False
        ctx.notifier.volume(ctx.request, "create.end", ctx.volumes.current(made.id))
        return True

    def revert(
        self, ctx: ImageContext, volume_id: str, image_meta: Any, image_volume_id: str
    ) -> None:
        made = find(ctx, image_volume_id)
        if made is None:
            return
        upload.drop(ctx, volume_id, image_meta)
        if made.status != _MAKING:
            image_id = facts.require_image(image_meta)["id"]
            if not clone_registration.may_go(ctx, made, image_id):
                return
        _remove(ctx, find(ctx, volume_id), image_volume_id)

    def remove_temporary(
        self, ctx: ImageContext, known: Mapping[str, Any], begun: Collection[str]
    ) -> None:
        """Remove the clone of an operation that has ended otherwise, unless an image needs it."""
        if self.name in begun:
            wanted = ("volume_id", "image_meta", "image_volume_id")
            self.revert(ctx=ctx, **{name: known[name] for name in wanted})


class RegisterImageVolume(Step, task="register"):
    """Give the image service the location of the clone; provide whether the image is whole.

    Idempotent: a second try looks first whether the image has, or gets, the location.
    """

    moves_data = True

    default_provides = "registered"

    def execute(
        self,
        ctx: ImageContext,
        volume_id: str,
        image_meta: dict[str, Any],
        image_volume_id: str,
        cloned: bool,
    ) -> bool:
        if not cloned:
            return False
        volume, image_id = ctx.volumes.get(volume_id), facts.require_image(image_meta)["id"]
        made = find(ctx, image_volume_id)
        if made is None or made.status in _GOING:
            _remove(ctx, volume, image_volume_id)  # an interrupted try has begun it
            return False
        try:
            clone_registration.register(ctx, volume, image_id, image_volume_id)
        except (Unavailable, OperationInterrupted):
            raise
        except Exception as error:
            if not clone_registration.may_go(ctx, made, image_id):
                raise  # the revert deletes the image first, where it has no data
            reason = "it takes no locations" if isinstance(error, NotImplementedError) else error
            text = "volume %s is sent to image %s, the image service did not take its clone: %s"
            LOG.warning(text, volume_id, image_id, reason)
            _remove(ctx, volume, image_volume_id)
            return False
        LOG.info("volume %s keeps the data of image %s", image_volume_id, image_id)
        return True


class UploadUnlessRegistered(upload.UploadVolume, task="upload"):
    """Send the data, unless the image has a clone of the volume.

    Idempotent: an image that is active has its data; else it is written anew.
    """

    def execute(  # type: ignore[override]
        self, ctx: ImageContext, volume_id: str, image_meta: dict[str, Any], registered: bool
    ) -> None:
        if not registered:
            super().execute(ctx=ctx, volume_id=volume_id, image_meta=image_meta)


@registered
def flow() -> linear_flow.Flow:
    """Make an image of a volume by a clone.

    Needs ``volume_id``, ``image_meta`` with its ``id``, and ``image_volume_id``, the id that the
    clone gets.
    """
    return linear_flow.Flow("copy_volume_to_image").add(
        upload.BeginUpload(),
        ReserveImageVolume(),
        CloneVolume(),
        RegisterImageVolume(),
        UploadUnlessRegistered(),
        upload.FinishUpload(),
    )


def fits(image_meta: Mapping[str, Any]) -> bool:
    """Return whether an image may have the very bytes of a volume."""
    container = image_meta.get("container_format")
    return image_meta.get("disk_format") == "raw" and container in ("bare", None)


def _make_row(
    ctx: VolumeContext, volume: Record, image_id: str, made_id: str, options: CloneUploads
) -> Record:
    """Insert the row; it counts for quota when its reservation is used."""
    owner = ctx.request.project_id or volume.project_id
    kept = {clone_of_image.IMAGE_OWNER: owner, GLANCE_IMAGE_ID: image_id}
    users = {name: text for name, text in (volume.metadata or {}).items() if name != _IMAGE_SIZE}
    return ctx.volumes.create(
        **{name: volume[name] for name in _PLACE},
        id=made_id,
        project_id=options.project_id or owner,
        user_id=options.user_id or ctx.request.user_id or volume.user_id,
        display_name=f"image-{image_id}",
        display_description=volume.display_description,
        source_volid=volume.id,
        status=_MAKING,
        attach_status=ATTACHMENTS.during[0],
        use_quota=False,
        metadata={**users, **kept},
        admin_metadata=_READ_ONLY,
    )


def _clear(ctx: VolumeContext, volume: Record | None, made: Record) -> None:
    """Remove the object of a clone, and the temporary snapshot from which it was made.

    :param volume: None where it has been deleted, and with it its snapshots.
    """
    ctx.driver.delete_volume(made)
    if volume is None:
        return
    ctx.driver.delete_snapshot(temporary_objects.temporary_snapshot(volume, made.id))


def _remove(ctx: VolumeContext, volume: Record | None, made_id: str) -> None:
    """Remove a clone with its row and quota; one that cannot be removed stays in an error."""
    try:
        made = ctx.volumes.current(made_id)
        if made.status != _MAKING:
            ctx.volumes.transition(made_id, _REMOVING, when=_REMOVABLE)
    except NotFound:
        return
    except StatusChanged as error:
        LOG.error("volume %s, a clone for an image, stays: %s", made_id, error)
        return
    try:
        _clear(ctx, volume, made)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the object may be there
        text = driver_contract.masked(error)
        LOG.error("volume %s, a clone for an image, could not be removed: %s", made_id, text)
        ctx.volumes.transition(
            made_id, STATUSES.failed, when=_REMOVABLE, commit=[made_id], use_quota=True
        )
        return
    _forget(ctx, made)


def _forget(ctx: VolumeContext, made: Record) -> None:
    """Give the quota back and remove the row, in this order: without a row nothing resumes."""
    ctx.quotas.rollback([made.id])
    ctx.volumes.destroy(made.id, release=delete.quota_of(made))
