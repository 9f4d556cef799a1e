# SPDX-License-Identifier: Apache-2.0
"""Copy one open volume into another; holes stay holes, and zeros use no space.

A device may be larger than its volume, and a volume larger than the copied data: everything
behind the data reads as zeros afterwards, or old data would be readable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from oslo_utils import units

from drivers import blockio
from drivers.blockio import BlockFile, Extent
from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.pace import Pace

_CHUNK = 4 * units.Mi
"""Bytes that are read and written at a time."""

_CLEARED_TOGETHER = 64 * units.Mi


def copy(
    source: BlockFile,
    target: BlockFile,
    size: int,
    pace: Pace,
    *,
    skip_equal: bool = False,
    target_is_zero: bool = False,
) -> None:
    """Copy the first bytes of a volume over another one, and flush them to its disk.

    :param size: number of bytes.
    :param skip_equal: compare before writing, and do not write equal data again.
    :param target_is_zero: the target reads as zeros, so that zeros are left out.
    :raises VolumeBackendAPIException: the source became shorter meanwhile.
    """
    extents: Iterable[Extent] = source.data_extents(0, size)
    if not target_is_zero:
        extents = _union(extents, target.data_extents(0, size))
    for start, end in extents:
        at = start
        while at < end:
            with pace.waiting():
                chunk = _read(source, at, min(_CHUNK, end - at))
                _write(target, at, chunk, skip_equal, target_is_zero)
            at += len(chunk)
            pace.moved(len(chunk))
            pace.progress(min(1.0, at / size))
    if not target_is_zero:
        erase_from(size, target, pace)
    with pace.waiting():
        target.flush()


def clear_from(begin: int, target: BlockFile, pace: Pace) -> None:
    """Make everything behind an offset read as zeros, up to the end of the device."""
    clear(begin, target.size, target, pace)


def erase_from(begin: int, target: BlockFile, pace: Pace) -> None:
    """Make all old data behind an offset unreadable, up to the end of the device."""
    _in_parts(begin, target.size, pace, target.erase)


def clear(begin: int, end: int, target: BlockFile, pace: Pace) -> None:
    """Make a range read as zeros."""
    _in_parts(begin, end, pace, target.clear)


def _in_parts(begin: int, end: int, pace: Pace, work: Callable[[int, int], None]) -> None:
    """Do work on parts of a range, each by its offset and length."""
    for at in range(begin, end, _CLEARED_TOGETHER):
        with pace.waiting():
            work(at, min(_CLEARED_TOGETHER, end - at))


def _read(source: BlockFile, at: int, length: int) -> bytes:
    chunk = source.read(at, length)
    if not chunk:
        raise VolumeBackendAPIException(f"{source.name} ends at {at} bytes while it is copied")
    return chunk


def _write(
    target: BlockFile, at: int, chunk: bytes, skip_equal: bool, target_is_zero: bool
) -> None:
    if target_is_zero:
        target.write_data(at, chunk)
        return
    is_zero = blockio.is_zero(chunk)
    may_be_equal = skip_equal or (is_zero and not target.is_encrypted)
    if may_be_equal and target.read(at, len(chunk)) == chunk:
        return
    if is_zero:
        target.zero(at, len(chunk))
    else:
        target.write(at, chunk)


def _union(first: Iterable[Extent], second: Iterable[Extent]) -> Iterator[Extent]:
    """Yield the ranges that are in one of two ordered lists of extents."""
    iterators = [iter(first), iter(second)]
    heads = [next(one, None) for one in iterators]
    done = 0
    while True:
        known = [(head, number) for number, head in enumerate(heads) if head is not None]
        if not known:
            return
        (start, end), number = min(known)
        heads[number] = next(iterators[number], None)
        if end > done:
            yield max(start, done), end
            done = end
