# SPDX-License-Identifier: Apache-2.0
"""How an image gets into an encrypted volume (spec/encryption, From image).

=================  ==================  ========================================================
key of the volume  key of the image    bytes on the volume
=================  ==================  ========================================================
none               none                those of the image
none               one                 refused: nothing could read them
one                one                 those of the image, which the volume's key opens: it is a
                                       copy of the image's
one                none                a header of LUKS, and the image encrypted
=================  ==================  ========================================================
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, BinaryIO

from oslo_utils import units

from drivers.blockio import BlockFile
from drivers.encryption import luks_format
from drivers.interface.errors import ImageCopyFailure, ImageUnacceptable, VolumeDriverException
from drivers.interface.image import ENCRYPTION_KEY, Image
from drivers.interface.records import Record
from flows.context import ImageContext
from flows.errors import InvalidSnapshot, KeyManagerError
from flows.image import facts

_FOREIGN_KEY = "os_encrypt_key_id"
"""The same of images that other services have encrypted, in ways that are not known here."""


def room(ctx: ImageContext, volume: Record, image: Image) -> int:
    """Return the bytes that a volume has for the disk in an image.

    :raises ImageUnacceptable: the image cannot be written into this volume by anything, or its disk
        is known to be larger.
    """
    header = 0
    if (row := _encryption(ctx, volume, image)) is not None:
        # A driver that writes images by itself may know other formats.
        with contextlib.suppress(VolumeDriverException):
            wanted = luks_format.format_of(row, _type(volume))
            header = wanted.header_length if wanted else 0
    found = int(volume.size) * units.Gi - header
    if header and (disk := facts.disk_size(image) or 0) > found:
        text = f"needs {disk} bytes, volume {volume.id} has {found} behind the header of LUKS"
        raise ImageUnacceptable(f"image {image['id']} {text}")
    return found


def require_its_key(ctx: ImageContext, volume: Record, image: Image) -> None:
    """Refuse an encrypted image for a volume that was there, and whose key does not open it.

    Cinder's API gives a new volume a copy of the image's key, and none to one that is written
    again.

    :raises ImageUnacceptable: the keys differ.
    :raises ImageCopyFailure: one of them cannot be read.
    """
    wanted = (image.get("properties") or {}).get(ENCRYPTION_KEY)
    if not wanted or not volume.encryption_key_id or wanted == volume.encryption_key_id:
        return
    try:
        found = [
            ctx.keys.passphrase(ctx.request, one) for one in (volume.encryption_key_id, wanted)
        ]
    except KeyManagerError as error:
        text = f"its key or that of volume {volume.id} cannot be read: {error}"
        raise ImageCopyFailure(f"image {image['id']}: {text}") from error
    if found[0] != found[1]:
        text = f"is encrypted with another key than that of volume {volume.id}"
        raise ImageUnacceptable(f"image {image['id']} {text}, which could not be read")


def require_like(ctx: ImageContext, volume: Record, snapshot: Record) -> None:
    """Refuse a snapshot of another volume, whose data could not be read in this one.

    :raises InvalidSnapshot: one of both has no key, or their types encrypt in other ways.
    """
    if snapshot.volume_id == volume.id:
        return
    types = (snapshot.volume_type_id, volume.volume_type_id)
    keys = (bool(snapshot.encryption_key_id), bool(volume.encryption_key_id))
    differ = keys[0] and types[0] != types[1] and _row(ctx, types[0]) != _row(ctx, types[1])
    if keys[0] != keys[1] or differ:
        text = f"is not encrypted as volume {volume.id} is"
        raise InvalidSnapshot(f"snapshot {snapshot.id} of volume {snapshot.volume_id} {text}")


def target(ctx: ImageContext, volume: Record, image: Image, file: BinaryIO) -> BinaryIO | BlockFile:
    """Return the file to which an image is written, which encrypts it where it has to.

    The old header is gone then. A further try writes another one.

    :param file: the volume, open for reading and writing.
    :raises ImageCopyFailure: the passphrase cannot be read.
    :raises ImageUnacceptable: the image cannot be written into this volume at all.
    """
    if (row := _encryption(ctx, volume, image)) is None:
        return file
    try:
        wanted = luks_format.format_of(row, _type(volume))
    except VolumeDriverException as error:
        raise ImageUnacceptable(f"image {image['id']}: {error}") from error
    if wanted is None:
        return file
    try:
        passphrase = ctx.keys.passphrase(ctx.request, volume.encryption_key_id)
    except KeyManagerError as error:
        text = f"the key of volume {volume.id} cannot be read: {error}"
        raise ImageCopyFailure(f"image {image['id']}: {text}") from error
    size = int(volume.size) * units.Gi
    with ctx.waiting():
        return ctx.images.encrypted(file, wanted, passphrase.reveal(), size, volume.id)


def _encryption(ctx: ImageContext, volume: Record, image: Image) -> Mapping[str, Any] | None:
    """Return how the type of a volume encrypts, where an image is to be encrypted for it.

    :raises ImageUnacceptable: the image cannot be written into this volume by anything.
    """
    properties = image.get("properties") or {}
    if properties.get(_FOREIGN_KEY):
        text = f"is encrypted with {_FOREIGN_KEY}, which this service does not know"
        raise ImageUnacceptable(f"image {image['id']} {text}")
    if not volume.encryption_key_id:
        if properties.get(ENCRYPTION_KEY):
            text = f"is encrypted, and volume {volume.id} is of a type that is not"
            raise ImageUnacceptable(f"image {image['id']} {text}")
        return None
    if properties.get(ENCRYPTION_KEY):
        return None
    row = ctx.types.encryption(volume.volume_type_id)
    if row is None:
        text = f"volume {volume.id} has a key, and its type {_type(volume)} is not encrypted"
        raise ImageUnacceptable(f"image {image['id']}: {text}: its data would be written plain")
    return row


def _row(ctx: ImageContext, type_id: str | None) -> dict[str, Any]:
    return dict(ctx.types.encryption(type_id) or {})


def _type(volume: Record) -> str:
    """Return the name of a volume's type, for errors."""
    return volume.volume_type.name if volume.volume_type else "(none)"
