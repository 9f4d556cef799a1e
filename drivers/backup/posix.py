# SPDX-License-Identifier: Apache-2.0
"""Backups in a directory: of a local disk, or of whatever is mounted there."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from oslo_config import cfg

from drivers.backup import chunked
from drivers.backup.chunked import ChunkedDriver
from drivers.backup.directory import DirectoryStore
from drivers.backup.store import Store

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        "backup_posix_path",
        default="$state_path/backup",
        help="Directory of the backups.",
    ),
    cfg.StrOpt(
        "backup_container",
        help="Directory below backup_posix_path for backups that name no container; without "
        "it each has one of its own.",
    ),
    cfg.IntOpt(
        "backup_file_size",
        default=1999994880,
        min=1,
        help="Bytes of a volume in one file, a multiple of backup_sha_block_size_bytes.",
    ),
    cfg.IntOpt(
        "backup_sha_block_size_bytes",
        default=32768,
        min=1,
        help="Bytes of which each hash is; an incremental backup keeps what changed in such "
        "blocks. It must stay the same for all backups of a chain.",
    ),
]


class PosixDriver(ChunkedDriver):
    """Backups as files."""

    OPTS: ClassVar[list[cfg.Opt]] = [*chunked.OPTS, *OPTS]

    object_size = "backup_file_size"
    block_size = "backup_sha_block_size_bytes"

    def make_store(self) -> Store:
        """Return the directory."""
        return DirectoryStore(Path(self.configuration.backup_posix_path))
