# SPDX-License-Identifier: Apache-2.0
"""Read, write and compare images of Ceph through its binding, at any offset.

An image is the object that the binding calls ``rbd.Image``, or a wrapper of it, as os-brick
makes. It knows its data extents, and the changes since a snapshot, without reading data. Several
threads may use one.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oslo_utils import units

LOG = logging.getLogger(__name__)

_EXCLUSIVE_LOCK = 1 << 2
_FAST_DIFF = 1 << 4
_FAST_DIFF_INVALID = 1 << 1
"""Bits of the features and of the flags of an image, as librbd numbers them."""

_EXCLUSIVE = 0
"""The mode of the lock, as librbd numbers it."""

_WIDE = 64 * units.Gi
_NARROW = 256 * units.Mi
"""Bytes of an image that one question covers: of whole objects, and of parts of them. They bound
the memory of its answer."""

_ZEROS = bytes(units.Mi)


@dataclass(frozen=True)
class Change:
    """A range of an image that may differ from before.

    :param has_data: False where it reads as zeros.
    """

    start: int
    end: int
    has_data: bool = True


class RbdImage:
    """One open image.

    :param image: of the binding; its owner closes it.
    """

    def __init__(self, image: Any) -> None:
        self._image = image

    @property
    def size(self) -> int:
        """Length in bytes, of the snapshot where one is open."""
        return int(self._image.size())

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes; fewer only behind the end."""
        length = min(length, self.size - offset)
        return bytes(self._image.read(offset, length)) if length > 0 else b""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all data; it is durable after :meth:`flush`."""
        if len(data):
            whole = data if isinstance(data, bytes) else bytes(data)  # bytes are not copied
            self._image.write(whole, offset)

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros, without using space where the binding can do that.

        A discard would leave parts of objects as they are.
        """
        if hasattr(self._image, "write_zeroes"):
            for at in range(offset, offset + length, units.Gi):
                self._image.write_zeroes(at, min(units.Gi, offset + length - at))
            return
        for at in range(offset, offset + length, len(_ZEROS)):
            self.write(at, memoryview(_ZEROS)[: offset + length - at])

    def flush(self) -> None:
        """Make everything that was written survive a power failure."""
        self._image.flush()

    def own(self, label: str, *, shut_out: bool) -> None:
        """Become the only writer until the image is closed; once more changes nothing.

        An image without the feature ``exclusive-lock`` stays as it is.

        :param label: of the image, for the log.
        :param shut_out: whether a client that has the lock is shut out of the cluster. It may be
            on a host that was frozen, and write when it wakes.
        :raises Exception: of the binding: another client has the lock.
        """
        if not self._image.features() & _EXCLUSIVE_LOCK:
            return
        if shut_out and not self._image.is_exclusive_lock_owner():
            for client in self._owners():
                text = "%s: client %s, which has not ended its transfer, is shut out of the cluster"
                LOG.warning(text, label, client)
                self._shut_out(client)
        self._image.lock_acquire(_EXCLUSIVE)

    def _owners(self) -> list[str]:
        return [one["owner"] for one in self._image.lock_get_owners()]

    def _shut_out(self, client: str) -> None:
        try:
            self._image.lock_break(_EXCLUSIVE, client)
        except Exception:
            if client in self._owners():
                raise
            # It has closed the image since.

    def data_extents(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the extents that are allocated, with those of the parent of a clone, in order."""
        for one in self.changes(None, start, end):
            if one.has_data:
                yield one.start, one.end

    def changes(
        self, since: str | None, start: int, end: int, *, never_reverted: bool = False
    ) -> Iterator[Change]:
        """Yield the differences from a snapshot, in order; all data, where it is None.

        Two steps: first which objects changed, which images with ``fast-diff`` know without
        asking for each object; then which parts of these.

        :param never_reverted: nobody sets the image back to a snapshot of its own. After that
            librbd takes objects that were set back for unchanged, so ``fast-diff`` is not asked
            for the differences from a snapshot of other images.
        """
        if (since is not None and not never_reverted) or not self._knows_objects(since):
            yield from self._parts(since, start, end)
            return
        # Before 16.2.8 librbd gives wrong offsets where a question begins inside an object.
        for at in range(start - start % _NARROW, end, _WIDE):
            for one in self._asked(since, at, min(at + _WIDE, end), whole=True):
                if one.end > start:
                    found = dataclasses.replace(one, start=max(start, one.start))
                    yield from (
                        self._parts(since, found.start, found.end) if found.has_data else (found,)
                    )

    def _parts(self, since: str | None, start: int, end: int) -> Iterator[Change]:
        for at in range(start, end, _NARROW):
            yield from self._asked(since, at, min(at + _NARROW, end), whole=False)

    def _asked(self, since: str | None, start: int, end: int, *, whole: bool) -> list[Change]:
        found: list[Change] = []

        def note(offset: int, length: int, exists: bool) -> None:
            one = Change(max(start, offset), min(end, offset + length), bool(exists))
            last = found[-1] if found else None
            if last is not None and last.end == one.start and last.has_data == one.has_data:
                found[-1] = dataclasses.replace(last, end=one.end)
            elif one.start < one.end:
                found.append(one)

        end = min(end, self.size)
        if start < end:
            self._image.diff_iterate(start, end - start, since, note, True, whole)
        return sorted(found, key=lambda one: one.start)

    def _knows_objects(self, since: str | None) -> bool:
        """Return whether ``fast-diff`` may be trusted.

        Not for a clone as a whole, whose parent has data as well, and not where the image had
        another size: librbd has had errors there.
        """
        image = self._image
        if not image.features() & _FAST_DIFF or image.flags() & _FAST_DIFF_INVALID:
            return False
        if since is not None:
            sizes = {one["size"] for one in image.list_snaps() if one["name"] == since}
            return sizes == {self.size}
        return bool(image.overlap() == 0)


def of(file: Any) -> RbdImage | None:
    """Return the image of a file object, such as os-brick's handle; None where it has none."""
    image = getattr(file, "rbd_image", None)
    return None if image is None else RbdImage(image)
