# SPDX-License-Identifier: Apache-2.0
"""Move images into files and devices, and back: checked, counted, hashed on the way.

An image is what strangers made. Its size, format and hash are compared with what the
image service says of it, and nothing of it is interpreted before that; see ``formats``
for what it must not contain. A raw image goes straight to where it belongs; another
one into ``image_conversion_dir`` first, under the name of who asked, so that a second
try after a kill meets what the first one left.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from drivers.image import formats, qemu_img
from drivers.image.qemu_img import ConversionLimits
from drivers.image.sink import ImageSink
from drivers.interface.errors import (
    ImageCopyFailure,
    ImageTooBig,
    ImageUnacceptable,
)
from drivers.interface.image import Image, ImageService
from drivers.interface.pace import Pace

_PIECE = 4 * 1024 * 1024
"""Bytes that are read from a volume at a time."""

_QCOW2_MOST = 2
"""How many times as long as the disk in it a qcow2 image may be."""


class ImageTransport:
    """Moves images of one service.

    :param directory: for images that have to be converted.
    """

    def __init__(self, service: ImageService, directory: Path, limits: ConversionLimits) -> None:
        self.service = service
        self._directory = directory
        self._limits = limits

    def fetch(self, context: Any, image: Image, path: str, size: int, key: str, pace: Pace) -> None:
        """Write an image over a volume that nobody uses.

        :param image: what the service knows of it.
        :param path: the volume's file or device; what was there is gone afterwards.
        :param size: of the volume, in bytes.
        :param key: names what is put aside meanwhile; one for each volume.
        :raises ImageUnacceptable: its format or size does not fit.
        :raises ImageTooBig: there is no room to convert it.
        :raises ImageCopyFailure: it could not be read, or is not what it should be.
        """
        self.clear(key)
        with _explained(image, path):
            if image["disk_format"] == "raw":
                self._stream(context, image, path, size, pace)
            else:
                self._converted(context, image, path, size, key, pace)

    def store(self, context: Any, image: Image, path: str, key: str, pace: Pace) -> None:
        """Write a volume into an image, and see that it arrived.

        :param image: that is there, without data; in its ``disk_format``.
        :raises ImageUnacceptable: volumes are not written in that format.
        :raises ImageCopyFailure: the image is not the volume's data.
        """
        self.clear(key)
        with _explained(image, path):
            if image["disk_format"] == "raw":
                self._send(context, image, Path(path), pace)
                return
            if image["disk_format"] not in formats.SUPPORTED:
                raise ImageUnacceptable(f"a volume is not written as {image['disk_format']}")
            with self._aside(key) as aside:
                half = _part(pace, 0.0, 0.5)
                source, wanted = Path(path), image["disk_format"]
                limits = self._limits.of(_length(source))
                qemu_img.convert(source, "raw", aside, wanted, limits, half)
                self._send(context, image, aside, _part(pace, 0.5, 1.0))

    def clear(self, key: str) -> None:
        """Remove what an interrupted try put aside."""
        self._path(key).unlink(missing_ok=True)

    def _stream(self, context: Any, image: Image, path: str, size: int, pace: Pace) -> None:
        with ImageSink(path, size) as sink:
            for piece in self._checked(context, image, size, pace):
                with pace.waiting():
                    sink.write(piece)
            with pace.waiting():
                sink.finish()

    def _converted(
        self, context: Any, image: Image, path: str, size: int, key: str, pace: Pace
    ) -> None:
        with self._aside(key) as aside:
            self._require_room(image)
            with aside.open("wb") as file:
                # Where nobody says how long it is: a disk of that size needs no more.
                half, most = _part(pace, 0.0, 0.5), _QCOW2_MOST * size
                for piece in self._checked(context, image, most, half):
                    with pace.waiting():
                        file.write(piece)
            with aside.open("rb") as file:
                found = formats.qcow2(file, f"image {image['id']}")
            if found.virtual_size > size:
                text = f"holds a disk of {found.virtual_size} bytes"
                raise ImageUnacceptable(f"image {image['id']} {text}, the volume has {size}")
            with ImageSink(path, size):
                pass  # what was there before is gone
            half = _part(pace, 0.5, 1.0)
            limits = self._limits.of(found.virtual_size)
            qemu_img.convert(aside, "qcow2", Path(path), "raw", limits, half, in_place=True)
            with pace.waiting():
                _flush(path)

    def _checked(self, context: Any, image: Image, most: int, pace: Pace) -> Iterator[bytes]:
        """Yield an image's data; at its end it has the right length and hash.

        :param most: bytes that it may have at all.
        """
        expected, hashed, done, head = image.get("size"), _Hash(image), 0, b""
        limit = min(n for n in (expected, most) if n is not None) or 1
        pieces = self.service.download(context, image["id"])
        assert pieces is not None
        while True:
            with pace.waiting():
                piece = next(pieces, b"")
                hashed.update(piece)
            if not piece:
                break
            if len(head) < formats.HEAD:
                head += piece[: formats.HEAD - len(head)]
                formats.require(head, image["disk_format"], f"image {image['id']}")
            done += len(piece)
            if done > limit:
                raise ImageUnacceptable(f"image {image['id']} has more than {limit} bytes")
            yield piece
            pace.tell(done / limit)
        if expected is not None and done != expected:
            raise ImageCopyFailure(f"image {image['id']} has {done} bytes, not {expected}")
        hashed.check()

    def _send(self, context: Any, image: Image, path: Path, pace: Pace) -> None:
        sent = _Sent(path, pace)
        with path.open("rb") as file:
            known = self.service.update(context, image["id"], {}, sent.pieces(file))
        wrong = known.get("checksum") not in (None, sent.md5.hexdigest())
        if known.get("status") != "active" or wrong or known.get("size") not in (None, sent.size):
            text = f"{known.get('status')}, {known.get('size')} bytes, {known.get('checksum')}"
            wanted = f"{sent.size} bytes, {sent.md5.hexdigest()}"
            raise ImageCopyFailure(f"image {image['id']} did not arrive: it is {text}; {wanted}")

    def _require_room(self, image: Image) -> None:
        free = os.statvfs(self._directory)
        room, wanted = free.f_bavail * free.f_frsize, image.get("size") or 0
        if wanted > room:
            text = f"needs {wanted} bytes in {self._directory} to be converted, there are {room}"
            raise ImageTooBig(f"image {image['id']} {text}")

    @contextlib.contextmanager
    def _aside(self, key: str) -> Iterator[Path]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            yield self._path(key)
        finally:
            self.clear(key)

    def _path(self, key: str) -> Path:
        return self._directory / f"image-{Path(key).name}"


class _Hash:
    """Compares an image's data with the best hash that is known of it."""

    def __init__(self, image: Image) -> None:
        self._image_id = image["id"]
        name, wanted = str(image.get("os_hash_algo")), image.get("os_hash_value")
        if name not in hashlib.algorithms_available or not wanted:
            name, wanted = "md5", image.get("checksum")
        self._name, self._wanted = name, wanted
        self._hash = hashlib.new(name, usedforsecurity=False) if wanted else None

    def update(self, piece: bytes) -> None:
        if self._hash is not None:
            self._hash.update(piece)

    def check(self) -> None:
        """:raises ImageCopyFailure: names both hashes."""
        if self._hash is not None and self._hash.hexdigest() != self._wanted:
            found = f"{self._name} {self._hash.hexdigest()}, not {self._wanted}"
            raise ImageCopyFailure(f"image {self._image_id} was changed on its way: it has {found}")


class _Sent:
    """Reads a volume for an image service, and remembers what it read."""

    def __init__(self, path: Path, pace: Pace) -> None:
        self.size = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._pace = pace
        self._path = path

    def pieces(self, file: BinaryIO) -> Iterator[bytes]:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        while True:
            with self._pace.waiting():
                piece = file.read(_PIECE)
                self.md5.update(piece)
            if not piece:
                return
            self.size += len(piece)
            yield piece
            self._pace.tell(min(1.0, self.size / max(1, length)))


def _part(pace: Pace, begin: float, end: float) -> Pace:
    """Return a pace for a part of the whole."""
    return Pace(lambda fraction: pace.tell(begin + (end - begin) * fraction), pace.waiting)


def _length(path: Path) -> int:
    """Return the length of a file or device, in bytes."""
    with path.open("rb") as file:
        return file.seek(0, os.SEEK_END)


def _flush(path: str) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _explained(image: Image, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = f"image {image['id']} and {path}: {error.strerror or error}"
        raise ImageCopyFailure(text) from error
