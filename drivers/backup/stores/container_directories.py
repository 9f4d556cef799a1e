# SPDX-License-Identifier: Apache-2.0
"""Directories of backups below a root, which no name and no link leads out of.

Each is opened from the root on, one part of its name after another and without following
links. The root itself may be a link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from drivers import own_directories
from drivers.interface.errors import BackupDriverException

MODE = 0o770
"""For the owner and the group only, whatever the mask of the process says."""

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TRIES = 10


class ContainerDirectories:
    """Directories below a root, by their names with slashes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def parts(self, container: str) -> Sequence[str]:
        """Return the parts of a name, which may have slashes in a row or at its end.

        :raises BackupDriverException: it is outside.
        """
        first, *others = container.split("/") if isinstance(container, str) else [".."]
        # "a/" and "a//b" are directories for Cinder, too; "/a" is outside.
        parts = [first, *filter(None, others)]
        if not first or any(part in (".", "..") or "\0" in part for part in parts):
            text = f"is no directory below {self._root}"
            raise BackupDriverException(f"the container {container!r:.80} {text}")
        return parts

    @contextlib.contextmanager
    def opened(self, container: str) -> Iterator[int]:
        """Give the descriptor of a directory.

        :raises FileNotFoundError: it is missing.
        :raises BackupDriverException: a part of it is a link, or a file.
        """
        with self._opened(self.parts(container)) as fd:
            yield fd

    def make(self, container: str) -> None:
        """Make the directories that are missing, the root too."""
        parts = self.parts(container)
        if not self._root.exists():
            own_directories.make(self._root, MODE)
        for _try in range(_TRIES):
            # A deletion may remove an empty directory meanwhile.
            with contextlib.suppress(FileNotFoundError):
                self._make(parts)
                return
        self._make(parts)

    def remove(self, container: str) -> None:
        """Remove a directory, and those above it. :raises OSError: one of them is not empty."""
        parts = self.parts(container)
        for depth in range(len(parts) - 1, -1, -1):
            with self._opened(parts[:depth]) as fd:
                os.rmdir(parts[depth], dir_fd=fd)
                os.fsync(fd)

    @contextlib.contextmanager
    def _opened(self, parts: Sequence[str]) -> Iterator[int]:
        fd = os.open(self._root, _FLAGS)
        try:
            for part in parts:
                fd = self._entered(fd, part)
            yield fd
        finally:
            os.close(fd)

    def _make(self, parts: Sequence[str]) -> None:
        fd = os.open(self._root, _FLAGS)
        try:
            for part in parts:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, MODE, dir_fd=fd)
                os.fsync(fd)
                fd = self._entered(fd, part)
                _restrict(fd)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _entered(self, fd: int, part: str) -> int:
        """Open a directory in another one, which is closed.

        :raises BackupDriverException: it is a link or a file.
        """
        try:
            child = os.open(part, _FLAGS | os.O_NOFOLLOW, dir_fd=fd)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            text = "is a link or a file, where a directory of backups should be"
            raise BackupDriverException(f"{part!r:.80} below {self._root} {text}") from error
        os.close(fd)
        return child


def _restrict(fd: int) -> None:
    """Set the mode of a directory of ours, which another program may have made."""
    found = os.fstat(fd)
    mode = stat.S_IMODE(found.st_mode)
    wanted = (mode & stat.S_ISGID) | MODE
    if found.st_uid == os.geteuid() and mode != wanted:
        os.fchmod(fd, wanted)
