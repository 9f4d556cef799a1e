# SPDX-License-Identifier: Apache-2.0
"""Backups on an NFS share that is mounted already, as Cinder's NFS driver lays them out.

Mounting takes root, which this service does not have: the share is mounted by systemd or
fstab, below ``backup_mount_point_base``, in the directory that Cinder names after it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import ClassVar

from oslo_config import cfg

from drivers.backup import options
from drivers.backup.posix import PosixDriver
from drivers.backup.stores.directory_store import DirectoryStore
from drivers.backup.stores.object_store import ObjectStore
from drivers.interface.errors import BackupDriverException


class NfsDriver(PosixDriver):
    """Backups as files of a share."""

    OPTS: ClassVar[list[cfg.Opt]] = [*options.CHUNKED, *options.POSIX, *options.NFS]

    def make_store(self) -> ObjectStore:
        """Return the share's directory."""
        return DirectoryStore(self._place)

    def files_directory(self) -> str | None:
        """Return the share's directory, unless :meth:`check_for_setup_error` refuses it anyway."""
        return str(self._place) if os.path.ismount(self._place) else None

    def check_for_setup_error(self) -> None:
        """See that the share is mounted, so that nothing is kept beside it."""
        if not self.configuration.backup_share:
            raise BackupDriverException("backup_share names no share, such as host:/backups")
        if not os.path.ismount(self._place):
            command = f"mount -t nfs {self.configuration.backup_share} {self._place}"
            raise BackupDriverException(f"the share is not mounted; {command}")
        super().check_for_setup_error()

    @property
    def _place(self) -> Path:
        share = str(self.configuration.backup_share or "")
        name = hashlib.md5(share.encode(), usedforsecurity=False).hexdigest()
        return Path(self.configuration.backup_mount_point_base, name)
