# SPDX-License-Identifier: Apache-2.0
"""Write images into open volumes, and volumes into images, in the formats of both.

Images are made by strangers. An image's size, format and hash are compared with the
image service's description (``checked_download``), and only after that a program interprets it;
``formats`` checks each format as soon as its header is there. A raw image, such as ``iso``, is
streamed into the volume. Another one is stored in ``image_conversion_dir`` first, in a file named
after the volume, so that a second try after a kill finds and replaces it.

qemu-img reads and writes paths. A volume without one, such as an RBD handle, or one that
this user cannot open by its path, is converted through a raw file in the same directory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from oslo_utils import units

from drivers import block_copy, own_directories
from drivers.blockio import BlockFile
from drivers.encryption import luks_volumes
from drivers.encryption.luks_volumes import LuksVolumes
from drivers.image import formats, qemu_img, unpacking, upload_formats
from drivers.image.checked_download import checked, head_first
from drivers.image.qemu_img import ConversionLimits
from drivers.image.sink import ImageSink, stream
from drivers.image.verification import image_begin
from drivers.image.verification.certificates import Certificates
from drivers.image.verification.checked_images import CheckedImages
from drivers.image.verification.signature import CERTIFICATE, CertificateCheck, SignedImages
from drivers.image.verified_upload import send
from drivers.interface.errors import (
    ImageConversionNotAllowed,
    ImageCopyFailure,
    ImageSignatureVerificationException,
    ImageTooBig,
    ImageUnacceptable,
)
from drivers.interface.image import Hole, Image, ImageService, Piece, Placement, SignatureCheck
from drivers.interface.pace import Pace

_COMPRESSION = 4
"""A conversion that compresses may take this many times as much of the processor."""

_SECTOR = 512
"""Bytes of which QEMU writes none or all: the rest of a disk that ends in a sector is left out."""

_HEADER_MAX = 8 * units.Mi
"""Bytes after which a header is looked for only when all of the image is there."""

_IMAGE_MAX = 2
"""An image may be this many times as long as the disk in it."""

_RAW = ".raw"
"""Ending of the name of the file with the disk of an image."""

_VMDK_TYPES = ("streamOptimized", "monolithicSparse")


class ImageTransport(LuksVolumes):
    """Moves the data of one image service's images.

    :param directory: for images and disks that have to be converted.
    :param may_convert: whether images may have another format than volumes, which are raw.
    :param compresses: whether the data in a qcow2 image of a volume is compressed.
    :param vmdk_types: kinds of VMDK that are read.
    :param certificates: those of signed images; None: no signature is verified.
    """

    def __init__(
        self,
        service: ImageService,
        directory: Path,
        limits: ConversionLimits,
        *,
        may_convert: bool = True,
        compresses: bool = False,
        vmdk_types: Collection[str] = _VMDK_TYPES,
        certificates: Certificates | None = None,
    ) -> None:
        super().__init__(directory)
        self.service = service
        self._limits = limits
        self._may_convert = may_convert
        self._compresses = compresses
        self._vmdk_types = vmdk_types
        self._certificates = certificates

    def for_driver(self, check: SignatureCheck | None) -> ImageService:
        """Return the image service for a driver that copies an image by itself.

        :param check: of the image's signature, None for none.
        """
        return cast(ImageService, CheckedImages(self._signed(check)))

    def signature_check(self, image: Image) -> SignatureCheck:
        """Return a check of an image's signature, whose certificate is read.

        :raises ImageSignatureVerificationException: the certificate cannot be read or used.
        """
        label, properties = f"image {image['id']}", image["properties"]
        if self._certificates is None:
            text = f"no key manager has the certificate of {label}"
            raise ImageSignatureVerificationException(text)
        certificate = self._certificates.read(properties[CERTIFICATE], label)
        return CertificateCheck(label, properties, certificate)

    def check_begin(self, context: Any, image: Image, size: int) -> None:
        """Look at the begin of an image. :raises ImageUnacceptable: the image does not fit."""
        image_begin.check(self.service, context, image, size, self._vmdk_types)

    def _signed(self, check: SignatureCheck | None) -> ImageService:
        service = self.service
        return service if check is None else cast(ImageService, SignedImages(service, check))

    def fetch(
        self,
        context: Any,
        image: Image,
        file: BinaryIO | BlockFile,
        size: int,
        key: str,
        pace: Pace,
        check: SignatureCheck | None = None,
    ) -> None:
        """Write an image over an unused volume; none of the old data remains.

        :param image: its description by the service.
        :param file: the volume, open for reading and writing.
        :param size: of the volume, in bytes.
        :param key: names the files in ``image_conversion_dir``; one for each volume.
        :param check: of the image's signature, None for none.
        :raises ImageUnacceptable: its format or size does not fit.
        :raises ImageConversionNotAllowed: it has another format than the volume.
        :raises ImageTooBig: there is no room to convert it.
        :raises ImageCopyFailure: it could not be read, or is not as described.
        """
        self.clear(key)
        volume = file if isinstance(file, BlockFile) else BlockFile(file)
        with _explained(image, volume.name):
            if image["disk_format"] != formats.RAW:
                self._require_conversion(image)
            found, data = self._disk(self._signed(check), context, image, size, pace)
            if found == formats.RAW:
                stream(data, volume, size, pace)
            else:
                self._fetch_converted(image, found, data, volume, size, key, pace)

    def store(
        self,
        context: Any,
        image: Image,
        file: BinaryIO,
        key: str,
        pace: Pace,
        placement: Placement,
    ) -> None:
        """Write a volume into an image, and check that it arrived.

        :param image: an image without data; it gets its ``disk_format``.
        :param file: the volume, open for reading.
        :param placement: where the image service is to keep the data, and the image below it.
        :raises ImageConversionNotAllowed: the image has another format than the volume.
        :raises ImageUnacceptable: volumes are not written in that format.
        :raises ImageCopyFailure: the image does not have the volume's data.
        """
        self.clear(key)
        volume = BlockFile(file)
        wanted, container = image["disk_format"], image.get("container_format")
        with _explained(image, volume.name):
            if container not in upload_formats.CONTAINERS:
                raise ImageUnacceptable(f"a volume is not packed as {container}")
            if wanted == "raw":
                self._send(context, image, volume, pace, placement)
            elif wanted in upload_formats.CONVERTED:
                self._require_conversion(image)
                self._store_converted(context, image, volume, key, pace, placement)
            else:
                raise ImageUnacceptable(f"a volume is not written as {wanted}")

    def clear(self, key: str) -> None:
        """Remove the files that an interrupted try left in ``image_conversion_dir``."""
        for suffix in ("", _RAW, luks_volumes.HEADER):
            self._path(key, suffix).unlink(missing_ok=True)

    def _require_conversion(self, image: Image) -> None:
        if not self._may_convert:
            text = f"has the format {image['disk_format']}, the volume raw, and this service does"
            text += " not convert images (image_conversion_disable)"
            raise ImageConversionNotAllowed(f"image {image['id']} {text}")

    def _disk(
        self, service: ImageService, context: Any, image: Image, size: int, pace: Pace
    ) -> tuple[str, Iterator[Piece]]:
        """Return the format of an image by its first bytes, by QEMU's name, and its data."""
        label, limit = f"image {image['id']}", size
        if image["disk_format"] in formats.CONVERTED:
            # Where the service does not know its length: no disk of that size needs more.
            limit, pace = _IMAGE_MAX * size, _part(pace, 0.0, 0.5)
        data = checked(service, context, image, limit, pace)
        if image.get("container_format") == formats.PACKED:
            data = head_first(unpacking.unpacked(data, label, limit))
        first = next(data, b"")
        assert isinstance(first, bytes)
        found = formats.require(first[: formats.HEAD], image["disk_format"], label)
        return found, itertools.chain((first,), data)

    def _fetch_converted(
        self,
        image: Image,
        found: str,
        data: Iterator[Piece],
        volume: BlockFile,
        size: int,
        key: str,
        pace: Pace,
    ) -> None:
        """Write an image of another format than raw into a volume.

        :param found: the format, by QEMU's name.
        """
        with self._files(key) as (image_path, raw_path):
            self._require_room(image)
            with _full_directory_explained(image, self._directory):
                disk = self._download(image, found, data, image_path, size, pace)
                disk -= disk % _SECTOR
            with pace.waiting():
                sink = ImageSink(volume, size)
            limits, rest = self._limits.of(disk), _part(pace, 0.5, 1.0)
            if (path := volume.path(write=True)) is not None:
                target = Path(path)
                qemu_img.convert(image_path, found, target, "raw", limits, rest, in_place=True)
            else:
                with _full_directory_explained(image, self._directory):
                    half = _part(rest, 0.0, 0.5)
                    qemu_img.convert(image_path, found, raw_path, "raw", limits, half)
                half = _part(rest, 0.5, 1.0)
                with raw_path.open("rb", buffering=0) as raw:
                    source = BlockFile(raw)
                    block_copy.copy(source, volume, disk, half, target_is_zero=sink.is_zero)
                return
            sink.skip(disk)
            sink.finish(pace)

    def _download(
        self,
        image: Image,
        found: str,
        data: Iterator[Piece],
        path: Path,
        size: int,
        pace: Pace,
    ) -> int:
        """Store an image in a file, and return the size of the disk in it."""
        label, has_header = f"image {image['id']}", False
        with path.open("w+b") as file:
            for piece in data:
                with pace.waiting():
                    end = _append(file, piece)
                if not has_header and end <= _HEADER_MAX:
                    # An image that is refused by it is not read to its end.
                    has_header = self._has_fitting_begin(file, found, label, size)
                    file.seek(end)
        with path.open("rb") as file:
            disk = formats.disk_size(file, found, label, self._vmdk_types)
            formats.require_fits(disk, size, label)
            formats.require_whole(file, found, label)
        if found != "qcow2":  # whose size has one place only
            qemu_img.require_disk(path, found, disk, self._limits, _part(pace, 0.5, 0.5))
        return disk

    def _has_fitting_begin(self, file: BinaryIO, found: str, label: str, size: int) -> bool:
        """Return whether the header is there. :raises ImageUnacceptable: it does not fit."""
        disk = formats.begun_disk_size(file, found, label, self._vmdk_types)
        formats.require_fits(disk or 0, size, label)
        return disk is not None

    def _store_converted(
        self,
        context: Any,
        image: Image,
        volume: BlockFile,
        key: str,
        pace: Pace,
        placement: Placement,
    ) -> None:
        first, second = _part(pace, 0.0, 0.5), _part(pace, 0.5, 1.0)
        with self._files(key) as (image_path, raw_path):
            if (path := volume.path(write=False)) is not None:
                source = Path(path)
            else:
                self._copy_out(volume, raw_path, _part(first, 0.0, 0.5))
                source, first = raw_path, _part(first, 0.5, 1.0)
            self._convert(source, image_path, image["disk_format"], volume.size, first)
            raw_path.unlink(missing_ok=True)
            with image_path.open("rb", buffering=0) as file:
                self._send(context, image, BlockFile(file), second, placement)

    def _convert(self, source: Path, target: Path, disk_format: str, size: int, pace: Pace) -> None:
        """Write a raw disk of a size in another format."""
        wanted, limits = upload_formats.CONVERTED[disk_format], self._limits.of(size)
        compress = wanted.compresses and self._compresses
        if compress:
            limits = dataclasses.replace(limits, cpu=_COMPRESSION * limits.cpu)
        how: dict[str, Any] = {"options": wanted.options, "compress": compress}
        qemu_img.convert(source, "raw", target, wanted.program_name, limits, pace, **how)

    def _send(
        self, context: Any, image: Image, source: BlockFile, pace: Pace, placement: Placement
    ) -> None:
        packed = image.get("container_format") == upload_formats.PACKED
        send(self.service, context, image, source, pace, placement, packed=packed)

    def _copy_out(self, volume: BlockFile, path: Path, pace: Pace) -> None:
        with path.open("w+b", buffering=0) as file:
            file.truncate(volume.size)
            target = BlockFile(file)
            block_copy.copy(volume, target, volume.size, pace, target_is_zero=True)

    def _require_room(self, image: Image) -> None:
        free = os.statvfs(self._directory)
        room, wanted = free.f_bavail * free.f_frsize, image.get("size") or 0
        if wanted > room:
            text = f"needs {wanted} bytes in {self._directory} to be converted, there are {room}"
            raise ImageTooBig(f"image {image['id']} {text}")

    @contextlib.contextmanager
    def _files(self, key: str) -> Iterator[tuple[Path, Path]]:
        """Give paths for an image and for a raw disk, which are removed at the end."""
        own_directories.make(self._directory, strict=True)
        try:
            yield self._path(key), self._path(key, _RAW)
        finally:
            self.clear(key)


def _append(file: BinaryIO, piece: Piece) -> int:
    """Write a piece at the end of a file, and return its new end; a hole stays one."""
    if isinstance(piece, Hole):
        return file.truncate(file.seek(piece.length, os.SEEK_CUR))
    file.write(piece)
    return file.tell()


def _part(pace: Pace, begin: float, end: float) -> Pace:
    """Return a pace for a part of the whole."""
    return dataclasses.replace(
        pace, progress=lambda fraction: pace.progress(begin + (end - begin) * fraction)
    )


@contextlib.contextmanager
def _explained(image: Image, name: str) -> Iterator[None]:
    """Turn errors of the disk into errors of images.

    :param name: of the volume's file or device.
    """
    try:
        yield
    except OSError as error:
        text = f"image {image['id']} and {name}: {error.strerror or error}"
        raise ImageCopyFailure(text) from error


@contextlib.contextmanager
def _full_directory_explained(image: Image, directory: Path) -> Iterator[None]:
    """Name the directory where there is no room for an image or its disk."""
    try:
        yield
    except (ImageUnacceptable, OSError) as error:
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        text = f"has no room in {directory} for the disk in it"
        raise ImageTooBig(f"image {image['id']} {text}: {error}") from error
