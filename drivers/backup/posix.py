# SPDX-License-Identifier: Apache-2.0
"""Backups in a directory: of a local disk, or of whatever is mounted there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from oslo_config import cfg

from drivers.backup import options
from drivers.backup.chunked import ChunkedDriver
from drivers.backup.stores.directory_store import DirectoryStore
from drivers.backup.stores.object_store import ObjectStore
from drivers.backup.stores.shared_directory import shared_name


class PosixDriver(ChunkedDriver):
    """Backups as files."""

    OPTS: ClassVar[list[cfg.Opt]] = [*options.CHUNKED, *options.POSIX]

    object_size = "backup_file_size"
    block_size = "backup_sha_block_size_bytes"

    @classmethod
    def shared_place(cls, configuration: Any) -> str | None:
        """Return the share and the path in it; or the path, where the operator says so."""
        directory = Path(configuration.backup_posix_path)
        if (name := shared_name(directory)) is not None:
            return name
        return f"{directory}" if configuration.backup_posix_path_shared else None

    def files_directory(self) -> str | None:
        """Return ``backup_posix_path``."""
        return str(self.configuration.backup_posix_path)

    def mounted_directory(self) -> str | None:
        """Return the directory for a reader, which mounts nothing.

        :raises BackupDriverException: its file system is not mounted.
        """
        return self.files_directory()

    def make_store(self) -> ObjectStore:
        """Return the directory."""
        return DirectoryStore(Path(self.configuration.backup_posix_path))
