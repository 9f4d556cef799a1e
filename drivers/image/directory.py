# SPDX-License-Identifier: Apache-2.0
"""Images as files in a directory: the embedded default.

An image is the file of its id, and its metadata the file ``id.json`` beside
it. Both are written whole under another name and renamed, so a crash leaves an image
without data rather than with half of it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from oslo_config import cfg
from oslo_utils import units

from drivers import blockio, own_directories
from drivers.blockio import BlockFile
from drivers.image import sparse_hash
from drivers.image.hashes.hash_threads import HashThreads
from drivers.image.pieces import handed_over, length_of, pieces
from drivers.image.sparse_hash import SparseHash
from drivers.interface.errors import ImageCopyFailure, ImageNotFound
from drivers.interface.image import Hole, Image, ImageService, ImageStatus, Locations, Piece

CHUNK = units.Mi
"""Bytes that are read at a time."""

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,63}")
_HASH = "sha512"
_BEGUN = ".new-"
_RECORD_MAX = 4 * units.Mi
"""Bytes of a record, as of an answer of Glance."""


class DirectoryImages(ImageService):
    """Images in a directory of this host."""

    OPTS: ClassVar[list[cfg.Opt]] = [
        cfg.StrOpt(
            "image_directory",
            default="$state_path/images",
            help="Directory of the images, where image_service = directory.",
        )
    ]

    keeps_holes: ClassVar[bool] = True

    def __init__(self, conf: Any) -> None:
        super().__init__(conf)
        self._path = Path(conf.image_directory)

    def show(self, context: Any, image_id: str) -> Image:
        """Return the metadata beside the image."""
        try:
            with self._opened(image_id, ".json") as file:
                record = file.read(_RECORD_MAX + 1)
            if len(record) > _RECORD_MAX:
                raise ValueError(f"its record has more than {_RECORD_MAX} bytes")
            known: dict[str, Any] = {**json.loads(record)}
        except FileNotFoundError:
            raise ImageNotFound(f"image {image_id} is not in {self._path}") from None
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ImageCopyFailure(f"image {image_id} cannot be looked at: {error}") from error
        return {"properties": {}, **known}

    def download(
        self, context: Any, image_id: str, data: BinaryIO | None = None
    ) -> Iterator[bytes] | None:
        """Read the file."""
        self._require_data(context, image_id)
        return handed_over(self._chunks(image_id), data)

    def download_sparse(self, context: Any, image_id: str) -> Iterator[Piece]:
        """Read the data of the file, and name its holes."""
        self._require_data(context, image_id)
        return self._pieces(image_id)

    def upload_sparse(self, context: Any, image_id: str, data: Iterator[Piece], **_: Any) -> Image:
        """Write the data of the file, and its metadata."""
        known = {**self.show(context, image_id)}
        known |= self._write_sparse(known, data)
        self._note(known)
        return known

    def update(
        self,
        context: Any,
        image_id: str,
        image_meta: Image,
        data: BinaryIO | Iterator[bytes] | None = None,
        **_: Any,
    ) -> Image:
        """Write the file, and its metadata."""
        known = {**self.show(context, image_id), **image_meta}
        if data is not None:
            known |= self._write(known, data)
        self._note(known)
        return known

    def delete(self, context: Any, image_id: str) -> None:
        """Remove both files, and those that interrupted calls have begun to write."""
        for suffix in (".json", ""):
            self._file(image_id, suffix).unlink(missing_ok=True)
        for path in self._path.glob(f"{_BEGUN}{image_id}@*"):
            path.unlink(missing_ok=True)

    def create(
        self, context: Any, image_meta: Image, data: BinaryIO | Iterator[bytes] | None = None
    ) -> Image:
        """Write both files, or the metadata alone."""
        own_directories.make(self._path)
        empty: dict[str, Any] = {"name": None, "status": ImageStatus.QUEUED}
        empty |= {"size": None, "checksum": None}
        limits: dict[str, Any] = {
            "min_disk": 0,
            "min_ram": 0,
            "virtual_size": None,
            "properties": {},
        }
        formats = {"disk_format": "raw", "container_format": "bare"}
        image_id = str(image_meta.get("id") or uuid.uuid4())
        self._file(image_id, "")
        self._note({**empty, **limits, **formats, **image_meta, "id": image_id})
        return self.update(context, image_id, {}, data)

    def get_location(self, context: Any, image_id: str) -> Locations:
        """Return the file's address."""
        url = self._file(image_id, "").absolute().as_uri()
        return url, [{"url": url, "metadata": {}}]

    def _write(self, known: Image, data: BinaryIO | Iterator[bytes]) -> dict[str, Any]:
        size, md5, strong = 0, hashlib.md5(usedforsecurity=False), hashlib.new(_HASH)
        with self._fresh_data(known) as file, HashThreads([md5, strong]) as hashed:
            for chunk in _chunks_of(data):
                if blockio.is_zero(chunk):  # a hole, as in the source
                    file.truncate(file.seek(len(chunk), os.SEEK_CUR))
                else:
                    file.write(chunk)
                hashed.update(chunk)
                size += len(chunk)
            hashed.finish()
        hashes = {"os_hash_algo": _HASH, "os_hash_value": strong.hexdigest()}
        return {"status": ImageStatus.ACTIVE, "size": size, "checksum": md5.hexdigest(), **hashes}

    def _write_sparse(self, known: Image, data: Iterator[Piece]) -> dict[str, Any]:
        size, hashed = 0, SparseHash()
        with self._fresh_data(known) as file:
            for piece in data:
                if not isinstance(piece, Hole):
                    file.seek(size)
                    file.write(piece)
                size += length_of(piece)
                hashed.update(piece)
            file.truncate(size)
        hashes = {"os_hash_algo": sparse_hash.NAME, "os_hash_value": hashed.hexdigest()}
        return {"status": ImageStatus.ACTIVE, "size": size, "checksum": None, **hashes}

    def _require_data(self, context: Any, image_id: str) -> None:
        if self.show(context, image_id)["status"] != ImageStatus.ACTIVE:
            raise ImageNotFound(f"image {image_id} has no data")

    def _note(self, known: dict[str, Any]) -> None:
        with self._fresh(str(known["id"]), ".json") as file:
            file.write(json.dumps(known).encode())

    @contextlib.contextmanager
    def _fresh_data(self, known: Image) -> Iterator[BinaryIO]:
        """Give a file that becomes the data of an image.

        Between old metadata and new data the image is queued: a kill there leaves no data with
        the size and the hashes of other data.
        """
        with self._fresh(known["id"], "") as file:
            yield file
            if known["status"] == ImageStatus.ACTIVE:
                without = {"size": None, "checksum": None, "os_hash_value": None}
                self._note({**known, "status": ImageStatus.QUEUED, **without})

    @contextlib.contextmanager
    def _fresh(self, image_id: str, suffix: str) -> Iterator[BinaryIO]:
        """Give a file that gets its name when it is whole."""
        temporary = self._path / f"{_BEGUN}{image_id}@{secrets.token_hex(8)}"
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self._file(image_id, suffix))
        except OSError as error:
            raise ImageCopyFailure(f"{self._path} does not take {image_id}: {error}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def _chunks(self, image_id: str) -> Iterator[bytes]:
        try:
            with self._opened(image_id, "") as file:
                yield from iter(lambda: file.read(CHUNK), b"")
        except OSError as error:
            raise ImageCopyFailure(f"image {image_id} cannot be read: {error}") from error

    def _pieces(self, image_id: str) -> Iterator[Piece]:
        try:
            with self._opened(image_id, "", buffering=0) as file:
                yield from pieces(BlockFile(file), CHUNK)
        except OSError as error:
            raise ImageCopyFailure(f"image {image_id} cannot be read: {error}") from error

    def _opened(self, image_id: str, suffix: str, buffering: int = -1) -> BinaryIO:
        """Open a file to be read. :raises OSError: it is a link, or no regular file."""
        path = self._file(image_id, suffix)
        # O_NONBLOCK: a pipe of that name would otherwise wait for its other end.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file", str(path))
            return open(fd, "rb", buffering=buffering)
        except BaseException:
            os.close(fd)
            raise

    def _file(self, image_id: str, suffix: str) -> Path:
        if not isinstance(image_id, str) or not _ID.fullmatch(image_id):
            raise ImageNotFound(f"{image_id!r:.80} is no image's id")
        return self._path / f"{image_id}{suffix}"


def _chunks_of(data: BinaryIO | Iterator[bytes]) -> Iterator[bytes]:
    read = getattr(data, "read", None)
    return iter(data) if read is None else iter(lambda: read(CHUNK), b"")
