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
from flows.errors import KeyManagerError

_FOREIGN_KEY = "os_encrypt_key_id"
"""The same of images that other services have encrypted, in ways that are not known here."""


def room(ctx: ImageContext, volume: Record, image: Image) -> int:
    """Return the bytes that a volume has for the disk in an image.

    :raises ImageUnacceptable: the image cannot be written into this volume by anything.
    """
    size = int(volume.size) * units.Gi
    if (row := _encryption(ctx, volume, image)) is not None:
        # A driver that writes images by itself may know other formats.
        with contextlib.suppress(VolumeDriverException):
            wanted = luks_format.format_of(row, _type(volume))
            return size - (wanted.header_length if wanted else 0)
    return size


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


def _type(volume: Record) -> str:
    """Return the name of a volume's type, for errors."""
    return volume.volume_type.name if volume.volume_type else "(none)"
