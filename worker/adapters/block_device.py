# SPDX-License-Identifier: Apache-2.0
"""Find the block device that a path leads to, and whether this host uses it itself."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DEVICES = "/dev"
"""The directory in which only the kernel and root make entries."""

_SYS = Path("/sys/dev/block")
_MOUNTS = Path("/proc/self/mountinfo")
_SWAPS = Path("/proc/swaps")


class NotABlockDevice(ValueError):
    """A path leads to something else; the text says to what."""


@dataclass(frozen=True)
class BlockDevice:
    """A block device as it was found.

    :param path: without links, below ``/dev``.
    :param number: major and minor number.
    :param owner: user id.
    """

    path: str
    number: tuple[int, int]
    owner: int

    def is_open_as(self, descriptor: int) -> bool:
        """Return whether an open file is this device."""
        found = os.fstat(descriptor)
        return _is_block(found) and _number(found) == self.number


def find(path: str) -> BlockDevice:
    """Return the block device that a path leads to.

    Links are resolved here, once: a link that changes later changes nothing.

    :raises NotABlockDevice: it is elsewhere, or something else.
    :raises OSError: it is not there.
    """
    real = os.path.realpath(path, strict=True)
    if os.path.commonpath([real, DEVICES]) != DEVICES:
        raise NotABlockDevice(f"{real} is not in {DEVICES}")
    found = os.lstat(real)
    if not _is_block(found):
        raise NotABlockDevice(f"{real} is no block device")
    return BlockDevice(real, _number(found), found.st_uid)


def use_by_host(device: BlockDevice) -> str | None:
    """Return how this host uses a device, or a part of it; None if it does not.

    A file system, a swap area and a device that is built on it count.
    """
    place = _SYS / _text(device.number)
    for number, holders in _with_parts(place, device.number):
        if holders:
            return f"{', '.join(holders)} is built on it"
        if number in _mounted():
            return "it is mounted"
        if number in _swaps():
            return "the host swaps to it"
    return None


def _with_parts(place: Path, whole: tuple[int, int]) -> list[tuple[tuple[int, int], list[str]]]:
    """Return the numbers of a device and of its partitions, with the devices built on them."""
    found = [(whole, _names(place / "holders"))]
    for part in place.glob("*/partition"):
        major, minor = (part.parent / "dev").read_text().strip().split(":")
        found.append(((int(major), int(minor)), _names(part.parent / "holders")))
    return found


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _mounted() -> set[tuple[int, int]]:
    """Return the numbers of mounted devices; btrfs has numbers of its own, so sources count too."""
    found = set()
    for line in _MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        major, minor = before.split()[2].split(":")
        found.add((int(major), int(minor)))
        found |= _numbers_of(after.split()[1:2])
    return found


def _swaps() -> set[tuple[int, int]]:
    return _numbers_of(line.split()[0] for line in _SWAPS.read_text().splitlines()[1:])


def _numbers_of(paths: Iterable[str]) -> set[tuple[int, int]]:
    """Return the numbers of those paths that are block devices."""
    found = set()
    for path in paths:
        with contextlib.suppress(OSError):
            if path.startswith("/") and _is_block(status := os.stat(path)):
                found.add(_number(status))
    return found


def _is_block(status: os.stat_result) -> bool:
    return stat.S_ISBLK(status.st_mode)


def _number(status: os.stat_result) -> tuple[int, int]:
    return os.major(status.st_rdev), os.minor(status.st_rdev)


def _text(number: tuple[int, int]) -> str:
    return f"{number[0]}:{number[1]}"
