# SPDX-License-Identifier: Apache-2.0
"""Which parts of the objects of a chain a restore would leave visible, and how to store them anew.

A restore writes the oldest backup first and the others over it. So of two objects that hold the
same bytes of the volume the newer one counts, and an object may be visible in parts only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from drivers.backup.format.layout import StoredObject
from drivers.backup.transfer.extents import MIN_HOLE


@dataclass(frozen=True, slots=True)
class Fragment:
    """A range of a volume whose data one object has.

    :param link: number of the backup that the object belongs to, 0 for the newest.
    """

    start: int
    end: int
    link: int
    source: StoredObject

    @property
    def is_whole(self) -> bool:
        """Whether all of the object is visible."""
        return self.start == self.source.offset and self.end == self.source.end


@dataclass(frozen=True, slots=True)
class NewObject:
    """A range of a volume that becomes one object, without gaps: a copy of one, or joined parts."""

    fragments: tuple[Fragment, ...]

    @property
    def start(self) -> int:
        """Where its data begins in the volume, in bytes."""
        return self.fragments[0].start

    @property
    def end(self) -> int:
        """Where the data after it begins."""
        return self.fragments[-1].end

    @property
    def copied(self) -> Fragment | None:
        """The object that it is a copy of; None where it is joined from parts."""
        first = self.fragments[0]
        return first if len(self.fragments) == 1 and first.is_whole else None


def visible(links: Sequence[Iterable[StoredObject]]) -> Iterator[Fragment]:
    """Yield the visible parts of all objects, in the order of their offsets.

    :param links: the objects of each backup, the newest backup first; in order, without overlap.
    """
    coming = [iter(objects) for objects in links]
    current = [next(objects, None) for objects in coming]
    at = 0
    while True:
        for number, one in enumerate(current):
            while one is not None and one.end <= at:
                one = next(coming[number], None)
            current[number] = one
        left = [(number, one) for number, one in enumerate(current) if one is not None]
        if not left:
            return
        at = max(at, min(one.offset for _number, one in left))
        link, source = next((number, one) for number, one in left if one.offset <= at)
        newer = [one.offset for number, one in left if number < link]
        end = min([source.end, *newer])
        yield Fragment(at, end, link, source)
        at = end


def new_objects(fragments: Iterable[Fragment], max_size: int) -> Iterator[NewObject]:
    """Yield the objects that hold all fragments.

    Whole objects are copied. Parts of one object, and whatever lies between them, are joined: so
    the object is read once, and a chain of small changes does not become as many small objects.

    :param max_size: bytes of a volume in a joined object.
    """
    held: list[Fragment] = []
    for fragment in _pieces(fragments, max_size):
        if held and not _joins(held, fragment, max_size):
            yield NewObject(tuple(held))
            held = []
        held.append(fragment)
        if fragment.is_whole and len(held) == 1:
            yield NewObject(tuple(held))
            held = []
    if held:
        yield NewObject(tuple(held))


def _joins(held: Sequence[Fragment], fragment: Fragment, max_size: int) -> bool:
    if fragment.start != held[-1].end or fragment.end - held[0].start > max_size:
        return False
    if _is_hole(fragment) or _is_hole(held[-1]):
        return False  # an object of zeros has a few bytes
    return not fragment.is_whole or any(one.source.end > fragment.start for one in held)


def _is_hole(fragment: Fragment) -> bool:
    return fragment.source.zeros and fragment.end - fragment.start >= MIN_HOLE


def _pieces(fragments: Iterable[Fragment], max_size: int) -> Iterator[Fragment]:
    """Divide parts of objects that are larger than objects are today."""
    for one in fragments:
        if one.is_whole:
            yield one
            continue
        for start in range(one.start, one.end, max_size):
            yield Fragment(start, min(start + max_size, one.end), one.link, one.source)
