# SPDX-License-Identifier: Apache-2.0
"""The file of a volume, as a backup driver of Cinder's reads or writes it.

Such a driver knows neither progress nor an end from outside; each read and write reports the one
and raises the other.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from drivers.interface.pace import Pace


class PacedFile:
    """A file whose reads and writes call the functions of a pace.

    :param file: opened for reading or writing; anything else than that passes through.
    """

    def __init__(self, file: Any, pace: Pace) -> None:
        self._file, self._pace, self._size = file, pace, _size(file)
        self._thread = threading.get_ident()
        self.ending: BaseException | None = None
        """Raised by the pace: the driver may have replaced it by another error."""

    def read(self, *size: int) -> Any:
        """Read; the length as for any file."""
        self.advance()
        data = self._file.read(*size)
        self._pace.moved(len(data))
        return data

    def readinto(self, buffer: Any) -> Any:
        """Read into a buffer."""
        self.advance()
        count = self._file.readinto(buffer)
        self._pace.moved(count or 0)
        return count

    def write(self, data: Any) -> Any:
        """Write."""
        self.advance()
        self._pace.moved(len(data))
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> PacedFile:
        return self

    def __exit__(self, *_: Any) -> None:
        """Leave the file open: the worker closes it."""

    def advance(self) -> None:
        """Report the position, and end the copy where it is to end."""
        if self.ending is not None:
            raise self.ending
        if threading.get_ident() != self._thread:
            return
        try:
            self._pace.progress(min(self._file.tell() / self._size, 1.0))
        except BaseException as error:
            self.ending = error
            raise


def _size(file: Any) -> int:
    """Return the bytes of a file, which some file-like objects return by their position only."""
    position = file.tell()
    file.seek(0, os.SEEK_END)
    size = int(file.tell())
    file.seek(position)
    return max(size, 1)
