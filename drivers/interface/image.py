# SPDX-License-Identifier: Apache-2.0
"""The contract of an image service: where images are kept, and how they are read and written.

The methods have the names and arguments under which volume drivers know an image
service, as they are handed one (seeds, VolumeDriverCore.clone_image,
copy_image_to_volume, copy_volume_to_image). Any call may be repeated, may block, and
may come from several threads at once.
"""

from __future__ import annotations

import abc
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, BinaryIO, ClassVar

from oslo_config import cfg


class ImageStatus(StrEnum):
    """``status`` of an image: without data, while its data is looked at or written, and with it."""

    QUEUED = "queued"
    KILLED = "killed"
    IMPORTING = "importing"
    SAVING = "saving"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    PENDING_DELETE = "pending_delete"


@dataclass(frozen=True)
class Hole:
    """A range of zeros in the data of an image, which need not be read, sent or written."""

    length: int


Piece = bytes | Hole
"""The next part of a disk."""

Image = Mapping[str, Any]
"""The metadata of an image.

``id``, ``name``, ``status`` (see :class:`ImageStatus`), ``size`` in bytes,
``disk_format``, ``container_format``, ``min_disk`` in GiB, ``min_ram`` in MiB,
``checksum`` (MD5, hexadecimal),
``os_hash_algo`` and ``os_hash_value``, ``virtual_size`` in bytes or None, and a dict
``properties`` of all other properties.
"""

ENCRYPTION_KEY = "cinder_encryption_key_id"
"""The property of an image of an encrypted volume: the key of its data."""

Placement = Mapping[str, str]
"""Where an image's data is to be kept: arguments of :meth:`ImageService.update`.

``store_id`` of one of the service's stores, and ``base_image_ref``, the id of the image that the
data began as; each is left out where it is not known.
"""

Locations = tuple[str | None, list[Mapping[str, Any]] | None]
"""A direct address of an image's data, and a list of further ones; None where unknown."""


class SignatureCheck(abc.ABC):
    """Compares the data of one image with its signature while it is read."""

    @abc.abstractmethod
    def update(self, data: bytes) -> None:
        """Take the next part of the data."""

    @abc.abstractmethod
    def finish(self) -> None:
        """Take the end. :raises ImageSignatureVerificationException: the signature is wrong."""

    @abc.abstractmethod
    def require_right(self) -> None:
        """Require that all data was read, and has the signature.

        :raises ImageSignatureVerificationException: otherwise.
        """


class ImageService(abc.ABC):
    """Keeps images.

    :param conf: the configuration, with the options of ``OPTS`` in ``[DEFAULT]``.
    """

    OPTS: ClassVar[list[cfg.Opt]] = []
    """Its own options."""

    keeps_holes: ClassVar[bool] = False
    """Whether it has :meth:`upload_sparse` and :meth:`download_sparse`."""

    def __init__(self, conf: Any) -> None:
        self.conf = conf

    def check(self) -> None:  # noqa: B027 - a default: it needs nothing
        """Check that this host has the libraries and options that it needs; no request is sent.

        :raises ImageError: the text names the package to install or the option to change.
        """

    @abc.abstractmethod
    def show(self, context: Any, image_id: str) -> Image:
        """Return the metadata of an image.

        :raises ImageNotFound: there is none.
        :raises ImageError: the service does not answer.
        """

    @abc.abstractmethod
    def download(
        self, context: Any, image_id: str, data: BinaryIO | None = None
    ) -> Iterator[bytes] | None:
        """Read an image.

        :param data: the file to write to; without it, chunks of data are returned.
        :raises ImageNotFound: there is none, or it has no data.
        :raises ImageError: it cannot be read, or not to its end.
        """

    def begin(self, context: Any, image_id: str, length: int) -> bytes:
        """Return the first bytes of an image; all of a shorter one. By default it is read.

        :raises ImageNotFound: there is none, or it has no data.
        :raises ImageError: it cannot be read.
        """
        return first_bytes(self.download(context, image_id) or (), length)

    @abc.abstractmethod
    def update(
        self,
        context: Any,
        image_id: str,
        image_meta: Image,
        data: BinaryIO | Iterator[bytes] | None = None,
        *,
        store_id: str | None = None,
        base_image_ref: str | None = None,
        **_: Any,
    ) -> Image:
        """Write an image's data; afterwards it is ``active``. Its earlier data is replaced.

        :param image_meta: ``disk_format`` and ``container_format``, where they changed.
        :param data: a file, or chunks; None changes the metadata alone.
        :param store_id: the store that is to have the data; a service with one store ignores it.
        :param base_image_ref: see :data:`Placement`.
        :returns: its metadata afterwards.
        :raises ImageNotFound: there is none.
        :raises ImageLimitExceeded: the service has a limit or a quota that it would pass.
        :raises ImageError: it is as it was, or without data.
        """

    @abc.abstractmethod
    def delete(self, context: Any, image_id: str) -> None:
        """Remove an image; absence is success. :raises ImageError: it may still be there."""

    @abc.abstractmethod
    def create(
        self, context: Any, image_meta: Image, data: BinaryIO | Iterator[bytes] | None = None
    ) -> Image:
        """Make an image, with data or without.

        :param image_meta: ``id`` where it matters, ``name``, ``disk_format``, ….
        """

    def get_location(self, context: Any, image_id: str) -> Locations:
        """Return where an image's data lies, for drivers that can clone it."""
        return None, None

    def add_location(
        self, context: Any, image_id: str, url: str, metadata: Mapping[str, Any]
    ) -> None:
        """Give an image without data a place where its data lies already.

        The service may look at the data before the image is ``active``, and after this call.

        :param metadata: of the location; a service that knows its own ignores it.
        :raises NotImplementedError: data has to be sent.
        :raises ImageError: the service does not take this location.
        """
        raise NotImplementedError

    def upload_sparse(
        self, context: Any, image_id: str, data: Iterator[Piece], **placement: Any
    ) -> Image:
        """Write an image's data like :meth:`update`, without reading or sending its holes.

        :param placement: ``store_id`` and ``base_image_ref``, as for :meth:`update`.
        :returns: its metadata; ``os_hash_algo`` names a hash that leaves out zeros.
        """
        raise NotImplementedError

    def download_sparse(self, context: Any, image_id: str) -> Iterator[Piece]:
        """Read an image like :meth:`download`, with its holes as such."""
        raise NotImplementedError


def first_bytes(chunks: Iterable[bytes], length: int) -> bytes:
    """Return the first bytes of some chunks, and close a generator that has more of them."""
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) >= length:
            break
    if isinstance(chunks, Generator):
        chunks.close()
    return bytes(data[:length])
