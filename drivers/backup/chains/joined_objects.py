# SPDX-License-Identifier: Apache-2.0
"""Read a range of a volume from the objects of a chain, each of them once and in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing

from drivers import blockio
from drivers.backup.chains.overlay import NewObject
from drivers.backup.format.layout import StoredObject
from drivers.backup.format.object_check import Data, VerifyingReader
from drivers.backup.stores.object_store import StoreError
from drivers.backup.transfer.volume_reader import SEGMENT, Segment


def segments(
    wanted: NewObject, readers: Sequence[VerifyingReader], moved: Callable[[int], None]
) -> Iterator[Segment]:
    """Yield a range in segments; data that was yielded may yet prove wrong.

    :param readers: of the objects of each backup, by the numbers of the fragments.
    :param moved: called with the bytes that were read.
    :raises BackupDamaged: an object is not as it was stored.
    """
    joining = _Joined(wanted.start)
    with ExitStack() as stack:
        cursors: dict[tuple[int, str], _Cursor] = {}
        for fragment in wanted.fragments:
            key = fragment.link, fragment.source.name
            if key not in cursors:
                data = closing(readers[fragment.link].data(fragment.source))  # type: ignore[type-var]
                cursors[key] = _Cursor(stack.enter_context(data), fragment.source, moved)
            for part in cursors[key].take(fragment.start, fragment.end):
                yield from joining.add(part)
            if fragment.end == fragment.source.end:
                cursors.pop(key).finish()
        yield from joining.end()
        for cursor in cursors.values():
            cursor.finish()


class _Cursor:
    """The data of one object, from which ranges are taken in order."""

    def __init__(
        self, data: Iterator[Data], source: StoredObject, moved: Callable[[int], None]
    ) -> None:
        self._data = data
        self._source = source
        self._moved = moved
        self._held: Data = (source.offset, b"", 0)

    def take(self, start: int, end: int) -> Iterator[Data]:
        """Yield the data of a range."""
        while start < end:
            offset, data, length = self._held
            if start >= offset + length:
                self._next()
                continue
            stop = min(end, offset + length)
            part = None if data is None else data[start - offset : stop - offset]
            yield start, part, stop - start
            start = stop

    def finish(self) -> None:
        """Read the rest, as the end of an object shows whether it is damaged."""
        for offset, _data, length in self._data:
            self._advance(offset, length)

    def _next(self) -> None:
        offset, data, length = next(self._data)
        self._advance(offset, length)
        if data is not None:
            self._moved(length)
        self._held = offset, data, length

    def _advance(self, offset: int, length: int) -> None:
        before = self._held
        if offset < before[0] + before[2]:  # a second decoder begins anew
            raise StoreError(f"{self._source.name} could be read by a second decoder only")
        self._held = offset, None, length


class _Joined:
    """Joins small parts into segments."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._held = bytearray()
        self._has_data = False

    def add(self, part: Data) -> Iterator[Segment]:
        """Add a part, and yield the segments that are full."""
        _offset, data, length = part
        for at in range(0, length, SEGMENT):
            size = min(SEGMENT, length - at)
            self._has_data |= data is not None
            self._held += bytes(size) if data is None else data[at : at + size]
            if len(self._held) >= SEGMENT:
                yield from self.end()

    def end(self) -> Iterator[Segment]:
        """Yield the last segment."""
        if self._held:
            start, self._at = self._at, self._at + len(self._held)
            data, self._held = bytes(self._held), bytearray()
            is_zero = not self._has_data or blockio.is_zero(data)
            self._has_data = False
            yield start, self._at, None if is_zero else data
