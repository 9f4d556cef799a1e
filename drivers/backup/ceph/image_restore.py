# SPDX-License-Identifier: Apache-2.0
"""Write a stored backup to a volume, or only read it.

Each backup is a snapshot with all data of its moment, so none of its parents is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from drivers import block_copy
from drivers.backup.ceph import image_names, image_source
from drivers.backup.ceph.base_image import BaseImages
from drivers.backup.ceph.extent_copy import ExtentCopy
from drivers.backup.ceph.image_backup import CopyOptions
from drivers.backup.ceph.write_progress import WriteProgress
from drivers.blockio import BlockFile
from drivers.interface.errors import BackupDamaged, BackupDriverException
from drivers.interface.pace import Pace
from drivers.interface.records import Record
from drivers.rbd_image import RbdImage


class ImageRestore:
    """The restore, or the verification, of one backup."""

    def __init__(self, images: BaseImages, backup: Record, copying: CopyOptions) -> None:
        self._images = images
        self._backup = backup
        self._copying = copying

    def restore(
        self,
        volume_id: str,
        device: BlockFile,
        pace: Pace,
        *,
        target: RbdImage | None,
        is_zero: bool,
        clears_rest: bool,
    ) -> None:
        """Write all data.

        :param target: the image that the device is, if it is one. A host that has begun this
            restore, and was frozen, cannot write there any more.
        :param is_zero: whether the volume reads as zeros.
        :param clears_rest: whether a larger volume reads as zeros behind the data.
        """
        with self._opened() as image:
            size = image.size
            if device.size < size:
                sizes = f"it has {device.size} bytes, the backup needs {size}"
                raise BackupDriverException(f"volume {volume_id} is too small: {sizes}")
            progress = self._progress(volume_id, pace)
            if target is not None:
                target.own(f"volume {volume_id}", shut_out=progress.is_continued)
            begin = progress.offset
            if begin:
                pace.saved(min(1.0, begin / max(1, size)))
            pace.progress(min(1.0, begin / max(1, size)))
            changes = image.changes(None, begin, size)
            if not is_zero:
                changes = image_source.with_holes(changes, begin, size)
            copying = ExtentCopy(
                image,
                device if is_zero else _Clearing(device),
                self._copying.limits,
                total=size,
                piece=self._copying.piece,
                target_is_zero=is_zero,
            )
            copying.run(changes, pace, progress.save)
            if clears_rest and not is_zero:
                block_copy.clear_from(size, device, pace)
            with pace.waiting():
                device.flush()
            progress.end()
            pace.progress(1.0)

    def verify(self, pace: Pace) -> None:
        """Read all data: the cluster compares its checksums, and there are no others."""
        with self._opened() as image:
            copying = ExtentCopy(
                image,
                _Nowhere(),
                self._copying.limits,
                total=image.size,
                piece=self._copying.piece,
                target_is_zero=True,
            )
            copying.run(image.changes(None, 0, image.size), pace, lambda _end: None)
            pace.progress(1.0)

    def _progress(self, volume_id: str, pace: Pace) -> WriteProgress:
        owner = {"key": pace.key, "volume": volume_id}
        progress = WriteProgress(self._images.pool, image_names.restore_object(self._backup), owner)
        if not pace.key:
            self._images.pool.remove(image_names.restore_object(self._backup))
        progress.start_over()
        return progress

    @contextmanager
    def _opened(self) -> Iterator[RbdImage]:
        """Open the data of the backup. :raises BackupDamaged: it is not there."""
        try:
            base, snapshot = self._images.located(self._backup)
        except LookupError as error:
            raise BackupDamaged(str(error)) from error
        with self._images.opened(base, snapshot) as image:
            yield RbdImage(image)


class _Clearing:
    """A volume with old data: where zeros belong, only data is written over."""

    def __init__(self, device: BlockFile) -> None:
        self.read = device.read
        self.write = device.write
        self.zero = device.clear
        self.flush = device.flush


class _Nowhere:
    """The target of a verification."""

    def read(self, offset: int, length: int) -> bytes:
        """Return zeros."""
        return bytes(length)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Forget the data."""

    def zero(self, offset: int, length: int) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""
