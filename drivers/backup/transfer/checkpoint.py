# SPDX-License-Identifier: Apache-2.0
"""Checkpoint of a data transfer: its durable progress, for the next try after a kill.

The file has one line of JSON for each entry, with its CRC-32, and is only appended to: an
incomplete last line is ignored. An entry is written when its data is on disk.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from oslo_utils import timeutils

from drivers import blockio
from drivers.backup.stores import local_files

FIRST_INTERVAL = 0.5
"""Time until the first checkpoint of an attempt, in seconds."""

LONGEST_INTERVAL = 5.0
"""Longest time between two checkpoints, in seconds."""


class Interval:
    """The time until the next checkpoint; it doubles with each one of an attempt.

    So an attempt that is killed soon has a checkpoint, and a long one pays for few.
    """

    def __init__(self) -> None:
        self._watch = timeutils.StopWatch(FIRST_INTERVAL).start()
        self._next = 2 * FIRST_INTERVAL

    def expired(self) -> bool:
        """Whether a checkpoint is due."""
        return bool(self._watch.expired())

    def restart(self) -> None:
        """Note that a checkpoint is written."""
        self._watch = timeutils.StopWatch(self._next).start()
        self._next = min(LONGEST_INTERVAL, 2 * self._next)


class Checkpoint:
    """The checkpoint of one transfer.

    :param path: of the file, which is created if it does not exist.
    :param transfer: identifies the transfer; entries of another one are discarded.
    """

    def __init__(self, path: Path, transfer: dict[str, Any]) -> None:
        self._path = path
        lines = _lines(path)
        continues = next(lines, None) == transfer
        self.has_entries = continues and next(lines, None) is not None
        """Whether an earlier try of the transfer wrote an entry."""
        lines.close()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with local_files.explained(path):
            self._fd = os.open(path, flags | (0 if continues else os.O_TRUNC), 0o600)
        if continues:
            with local_files.explained(path):
                blockio.append(self._fd, b"\n")  # ends an incomplete line
        else:
            self.append(transfer)

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def entries(self) -> Iterator[Any]:
        """Yield the entries of an earlier try, and of this one so far."""
        yield from itertools.islice(_lines(self._path), 1, None)

    def append(self, entry: Any, hashes: Callable[[], Iterable[bytes]] = tuple) -> None:
        """Write an entry to the disk.

        :param hashes: returns those of the entry's blocks, for checkpoints that keep them.

        :raises BackupDriverException: the disk is full, or failed.
        """
        text = json.dumps(entry, sort_keys=True)
        with local_files.explained(self._path):
            blockio.append(self._fd, f"{zlib.crc32(text.encode()):08x} {text}\n".encode())
            os.fdatasync(self._fd)


def transfer_of(path: Path) -> dict[str, Any]:
    """Return the transfer to which a file belongs; an empty one where there is none."""
    lines = _lines(path)
    found = next(lines, None)
    lines.close()
    return found if isinstance(found, dict) else {}


def _lines(path: Path) -> Generator[Any]:
    """Yield the parsed lines one at a time; all of them may take too much memory."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for line in file:
            crc, _, entry = line.rstrip(b"\n").partition(b" ")
            if entry and crc == f"{zlib.crc32(entry):08x}".encode():
                yield json.loads(entry)
