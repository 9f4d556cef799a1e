# SPDX-License-Identifier: Apache-2.0
"""Divide a volume into the extents that become the objects of a backup.

A long hole becomes an object of zeros, which need not be read. The data between long holes
is divided at the size of an object. Short holes stay in it: an object costs more than
hashing some zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from oslo_utils import units

from drivers.blockio import Extent

MIN_HOLE = 16 * units.Mi
"""Bytes of a hole that is worth an object of its own."""

MAX_ZEROS = 256 * units.Mi
"""Bytes of zeros in an object, whatever the size of the others. A process hashes that many
zeros once, and another reader of the object may hold them in memory together."""


@dataclass(frozen=True)
class ObjectExtent:
    """A range of a volume that becomes one object, or none.

    :param hole: whether it is known to be zeros.
    """

    start: int
    end: int
    hole: bool = False


def divide(
    data: Iterable[Extent], start: int, end: int, *, max_size: int, alignment: int
) -> Iterator[ObjectExtent]:
    """Yield the extents of a range of a volume, in order and without gaps.

    :param data: start and end of each data extent, in order.
    :param max_size: bytes of an extent that is not a hole.
    :param alignment: extents of data start and end at multiples of it.
    """
    at = start
    for begin, stop in _without_short_holes(data, start, end, alignment):
        yield from _chunks(at, begin, MAX_ZEROS, hole=True)
        yield from _chunks(begin, stop, max_size, hole=False)
        at = stop
    yield from _chunks(at, end, MAX_ZEROS, hole=True)


def missing(extents: Iterable[Extent], end: int) -> Iterator[Extent]:
    """Yield the gaps that extents leave between 0 and ``end``."""
    at = 0
    for begin, stop in sorted(extents):
        if begin > at:
            yield at, begin
        at = max(at, stop)
    if at < end:
        yield at, end


def aligned(extents: Iterable[Extent], alignment: int, start: int, end: int) -> Iterator[Extent]:
    """Yield ordered extents, within a range, enlarged to multiples of an alignment.

    Extents that touch are joined.
    """
    current: Extent | None = None
    for begin, stop in extents:
        begin, stop = max(start, begin - begin % alignment), min(end, stop + -stop % alignment)
        if begin >= stop:
            continue
        if current is not None and begin <= current[1]:
            current = (current[0], max(current[1], stop))
            continue
        if current is not None:
            yield current
        current = (begin, stop)
    if current is not None:
        yield current


def _without_short_holes(
    data: Iterable[Extent], start: int, end: int, alignment: int
) -> Iterator[Extent]:
    """Yield data extents that only long holes separate from each other and from both ends."""
    current: Extent | None = None
    for begin, stop in aligned(data, alignment, start, end):
        at = start if current is None else current[1]
        if begin - at >= MIN_HOLE:
            if current is not None:
                yield current
            current = (begin, stop)
        else:
            current = (at if current is None else current[0], stop)
    if current is not None:
        yield current[0], end if end - current[1] < MIN_HOLE else current[1]


def _chunks(start: int, end: int, size: int, *, hole: bool) -> Iterator[ObjectExtent]:
    for at in range(start, end, size):
        yield ObjectExtent(at, min(at + size, end), hole)
