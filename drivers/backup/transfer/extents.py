# SPDX-License-Identifier: Apache-2.0
"""How a volume is cut into the objects of a backup.

Long holes become objects of zeros, which need not be read; the data between them
is cut at the size of an object. Short holes stay where they are: an object costs more
than the hash of some zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from oslo_utils import units

LEAST_HOLE = 16 * units.Mi
"""Bytes of a hole that is worth an object of its own."""

MOST_ZEROS = 256 * units.Mi
"""Bytes of zeros in an object, however small the others are: as many are hashed once in the
life of a process, and another reader may want them in memory together."""


@dataclass(frozen=True)
class ObjectExtent:
    """A part of a volume that one object, or none, is made of.

    :param hole: whether it is known to be zeros.
    """

    start: int
    end: int
    hole: bool = False


def cut(
    data: Iterable[tuple[int, int]], start: int, end: int, *, most: int, grain: int
) -> Iterator[ObjectExtent]:
    """Yield the pieces of a part of a volume, in order, without gaps.

    :param data: begin and end of each data extent, in order.
    :param most: bytes of a piece that is no hole.
    :param grain: extents of data begin and end at a multiple of it, counted from 0.
    """
    at = start
    for begin, stop in _joined(data, start, end, grain):
        yield from _split(at, begin, MOST_ZEROS, hole=True)
        yield from _split(begin, stop, most, hole=False)
        at = stop
    yield from _split(at, end, MOST_ZEROS, hole=True)


def missing(done: Iterable[tuple[int, int]], end: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges that parts leave out of ``0`` to ``end``."""
    at = 0
    for begin, stop in sorted(done):
        if begin > at:
            yield at, begin
        at = max(at, stop)
    if at < end:
        yield at, end


def rounded(
    parts: Iterable[tuple[int, int]], grain: int, start: int, end: int
) -> Iterator[tuple[int, int]]:
    """Yield parts, in order, as far as they are within others, made larger to a grain.

    The grain is counted from 0; parts that meet are joined.
    """
    current: tuple[int, int] | None = None
    for begin, stop in parts:
        begin, stop = max(start, begin - begin % grain), min(end, stop + -stop % grain)
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


def _joined(
    data: Iterable[tuple[int, int]], start: int, end: int, grain: int
) -> Iterator[tuple[int, int]]:
    """Yield parts of data with long holes between them, and at the begin and the end."""
    current: tuple[int, int] | None = None
    for begin, stop in rounded(data, grain, start, end):
        at = start if current is None else current[1]
        if begin - at >= LEAST_HOLE:
            if current is not None:
                yield current
            current = (begin, stop)
        else:
            current = (at if current is None else current[0], stop)
    if current is not None:
        yield current[0], end if end - current[1] < LEAST_HOLE else current[1]


def _split(start: int, end: int, most: int, *, hole: bool) -> Iterator[ObjectExtent]:
    for at in range(start, end, most):
        yield ObjectExtent(at, min(at + most, end), hole)
