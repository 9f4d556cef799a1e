# SPDX-License-Identifier: Apache-2.0
"""Make one backup: a snapshot of a base image, after the image has the data of the volume.

=======  =======================================================================================
step     repeated after a kill
=======  =======================================================================================
freeze   the snapshot of the source is there, or is made
own      the object with the progress says that the base image is this backup's to write. Whoever
         writes there has the exclusive lock of the image; a host that had it before, and was
         frozen, is shut out of the cluster
prepare  full: an empty base image. Incremental: the image is set back to the snapshot of the
         parent, since an attempt of another backup may have left its data there, and the changes
         of this one need not include these places
copy     from the last checkpoint; the source is fixed, and writing again changes nothing
commit   the snapshot of the base image: without it there is no backup
tidy     the progress, old snapshots of the source, the object with the metadata
=======  =======================================================================================
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from drivers.backup.ceph import image_names, write_permit
from drivers.backup.ceph.base_image import BaseImages, BaseOptions
from drivers.backup.ceph.extent_copy import PIECE, ExtentCopy
from drivers.backup.ceph.image_source import BackupSource
from drivers.backup.ceph.write_progress import WriteProgress
from drivers.backup.transfer.limits import TransferLimits
from drivers.interface.errors import BackupDriverException
from drivers.interface.pace import Pace
from drivers.interface.records import Record
from drivers.rbd_image import Change, RbdImage

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CopyOptions:
    """Options of transfers.

    :param piece: bytes that are in memory together.
    """

    limits: TransferLimits
    piece: int = PIECE


class ImageBackup:
    """One backup.

    :param base: name of the base image.
    :param parent: the backup whose snapshot the base image has; None for a full backup.
    :param is_being_made: whether the backup of an id is still to be written.
    """

    def __init__(
        self,
        images: BaseImages,
        backup: Record,
        base: str,
        parent: Record | None,
        options: BaseOptions,
        copying: CopyOptions,
        is_being_made: Callable[[str], bool],
    ) -> None:
        self._images = images
        self._backup = backup
        self._base = base
        self._parent = parent
        self._options = options
        self._copying = copying
        owner, name = {"backup": str(backup.id)}, image_names.progress_object(base)
        self._progress = WriteProgress(images.pool, name, owner, is_being_made)
        self._is_fresh = False

    @property
    def is_committed(self) -> bool:
        """Whether the backup is there."""
        return self._images.snapshot_of(self._backup, self._base) is not None

    def store(self, source: BackupSource, pace: Pace) -> None:
        """Write the data and commit it."""
        try:
            with write_permit.required_after_errors(pace) as watched:
                self._progress.take(watched)
                self._write(source, watched)
        except Exception:
            with contextlib.suppress(Exception):
                self._undo(source)
            raise

    def end(self) -> None:
        """Give the base image back to other backups."""
        self._progress.end()

    def _write(self, source: BackupSource, pace: Pace) -> None:
        pace.progress(0.0)
        moment = self._moment(source)
        parent = self._prepare(source, pace)
        with self._images.owned(self._base) as image:
            self._copy(source, RbdImage(image), parent, pace)
            self._progress.save(source.size)
            with contextlib.suppress(self._images.pool.binding.rbd.ImageExists):
                image.create_snap(moment)
        pace.progress(1.0)

    def _moment(self, source: BackupSource) -> str:
        """Return the name of the backup's snapshot, which all attempts at it give it."""
        known = self._progress.moment
        if not known or (source.is_fixed and known != source.moment):
            if known:
                # The source is of another moment than the part that is there.
                self._progress.forget()
            self._progress.moment = source.moment
        return self._progress.moment

    def _prepare(self, source: BackupSource, pace: Pace) -> str | None:
        """Make the base image ready for the first byte; return the snapshot of the parent."""
        parent = self._parent_snapshot()
        if self._progress.ready:
            return parent
        if parent is None:
            self._images.shut_out_writers(self._base)
            self._images.remove(self._base)
            self._is_fresh = self._images.create(self._base, source.size, self._options)
        else:
            self._set_back(parent, source.size, pace)
        self._progress.save(0)
        return parent

    def _parent_snapshot(self) -> str | None:
        if self._parent is None:
            return None
        found = self._images.snapshot_of(self._parent, self._base)
        if found is None:
            text = f"image {self._base} has no snapshot of backup {self._parent.id}"
            raise BackupDriverException(f"backup {self._backup.id} cannot be incremental: {text}")
        return found

    def _set_back(self, parent: str, size: int, pace: Pace) -> None:
        """Give the base image the data of the parent's snapshot again, where it differs."""
        quiet = Pace(progress=lambda _part: pace.progress(0.0), waiting=pace.waiting)
        with (
            self._images.owned(self._base) as image,
            self._images.opened(self._base, parent) as before,
        ):
            head, old = RbdImage(image), RbdImage(before)
            if head.size != old.size:
                image.resize(old.size)
            found = head.changes(parent, 0, old.size, never_reverted=True)
            # A hole of the image may be data of the snapshot.
            changes = (Change(one.start, one.end) for one in found)
            self._copied(old, head, size=size).run(changes, quiet, self._still_preparing)
            if head.size != size:
                image.resize(size)

    def _still_preparing(self, _end: int) -> None:
        self._progress.save(0, ready=False)

    def _copy(self, source: BackupSource, base: RbdImage, parent: str | None, pace: Pace) -> None:
        begin = self._progress.offset
        if begin:
            LOG.info("backup %s continues at %d bytes", self._backup.id, begin)
            pace.saved(min(1.0, begin / max(1, source.size)))
        by_diff = parent is None or source.knows(parent)
        if not by_diff:
            text = "backup %s: its source has no snapshot of the parent, so all data is compared"
            LOG.info(text, self._backup.id)
        copying = self._copied(
            source.reader,
            base,
            size=source.size,
            target_is_zero=self._is_fresh,
            compare=not by_diff,
        )
        copying.run(_after(source.changes(parent, begin), begin), pace, self._progress.save)

    def _copied(
        self,
        source: object,
        target: RbdImage,
        *,
        size: int,
        target_is_zero: bool = False,
        compare: bool = False,
    ) -> ExtentCopy:
        return ExtentCopy(
            source,  # type: ignore[arg-type]
            target,
            self._copying.limits,
            total=size,
            piece=self._copying.piece,
            target_is_zero=target_is_zero,
            compare=compare,
        )

    def _undo(self, source: BackupSource) -> None:
        """Remove the remains of a failed attempt, the progress first: no other one continues it.

        Where that is not this attempt's any more, the source and the image are another one's.
        """
        if not self._progress.end() and self._progress.is_taken:
            text = "backup %s: its progress is that of another attempt, or gone: nothing is removed"
            LOG.info(text, self._backup.id)
            return
        if self.is_committed:
            return
        source.release()
        if self._parent is None:
            self._images.remove(self._base)


def _after(changes: Iterator[Change], begin: int) -> Iterator[Change]:
    for one in changes:
        if one.end > begin:
            yield Change(max(one.start, begin), one.end, one.has_data)
