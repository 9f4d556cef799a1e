# SPDX-License-Identifier: Apache-2.0
"""Checkpoint of a running transfer: its durable progress, for the try after a kill.

One line of JSON for each entry, with its CRC-32, in a file that is only appended to: an
incomplete last line is ignored. An entry is written when its data is on disk.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from drivers import blockio
from drivers.backup.stores import local_files


class Checkpoint:
    """Notes of one operation.

    :param path: made where it is missing.
    :param about: identifies the transfer; entries about another one are thrown away.
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self._path = path
        lines = _lines(path)
        keeps = next(lines, None) == about
        self.begun = keeps and next(lines, None) is not None
        """Whether an earlier try noted something."""
        lines.close()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with local_files.work(path):
            self._fd = os.open(path, flags | (0 if keeps else os.O_TRUNC), 0o600)
        if keeps:
            with local_files.work(path):
                blockio.append(self._fd, b"\n")  # a line that was cut short ends here
        else:
            self.take(about)

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def found(self) -> Iterator[Any]:
        """Yield the entries of an earlier try, and of this one so far."""
        yield from itertools.islice(_lines(self._path), 1, None)

    def take(self, note: Any) -> None:
        """Write a note down, so that it outlives the machine.

        :raises BackupDriverException: the disk has no room for it, or failed.
        """
        text = json.dumps(note, sort_keys=True)
        with local_files.work(self._path):
            blockio.append(self._fd, f"{zlib.crc32(text.encode()):08x} {text}\n".encode())
            os.fdatasync(self._fd)


def _lines(path: Path) -> Generator[Any]:
    """Yield the parsed lines, one at a time: all of them may take too much memory."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for line in file:
            crc, _, note = line.rstrip(b"\n").partition(b" ")
            if note and crc == f"{zlib.crc32(note):08x}".encode():
                yield json.loads(note)
