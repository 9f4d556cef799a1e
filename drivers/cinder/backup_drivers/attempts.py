# SPDX-License-Identifier: Apache-2.0
"""Files that say which backups were begun and have not ended.

A driver of Cinder's cannot resume: the next attempt removes the remains of an interrupted one, and
has to know that there was one, even if the driver has not written to the row of the backup.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers import own_directories
from drivers.interface.errors import BackupDriverException

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

_SUFFIX = ".begun"


class Attempts:
    """The files, in a directory of this host.

    :param directory: ``backup_work_path``.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> None:
        """Make the directory. :raises BackupDriverException: it cannot be used."""
        try:
            own_directories.make(self._directory, strict=True)
        except OSError as error:
            text = f"backup_work_path = {self._directory} cannot be used: {error.strerror}"
            raise BackupDriverException(text) from error

    def was_interrupted(self, backup_id: str) -> bool:
        """Return whether a backup was begun and has not ended."""
        return self._path(backup_id).exists()

    @contextmanager
    def attempt(self, backup_id: str) -> Iterator[None]:
        """Make one attempt; its file stays where the process ends, or is to end, in the middle."""
        path = self._path(backup_id)
        path.touch(mode=0o600)
        self._sync()
        try:
            yield
        except Exception:
            self.forget(backup_id)
            raise
        self.forget(backup_id)

    def forget(self, backup_id: str) -> None:
        """Remove the file of a backup."""
        self._path(backup_id).unlink(missing_ok=True)

    def _path(self, backup_id: str) -> Path:
        if not _ID.fullmatch(backup_id):
            raise BackupDriverException(f"{backup_id!r:.80} is no id of a backup")
        return self._directory / f"{backup_id}{_SUFFIX}"

    def _sync(self) -> None:
        handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
