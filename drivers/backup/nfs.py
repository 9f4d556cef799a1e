# SPDX-License-Identifier: Apache-2.0
"""Backups on an NFS share, which the driver mounts where nothing else has done it.

Mounting takes root's rights: those of ``backup_root_helper``. A share that systemd or fstab has
mounted, in the directory that Cinder names after it, needs none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from oslo_config import cfg

from drivers.backup import options
from drivers.backup.posix import PosixDriver
from drivers.backup.stores.directory_store import DirectoryStore
from drivers.backup.stores.nfs_mount import NfsMount
from drivers.backup.stores.object_store import ObjectStore
from drivers.interface.errors import BackupDriverException


class NfsDriver(PosixDriver):
    """Backups as files of a share."""

    OPTS: ClassVar[list[cfg.Opt]] = [*options.CHUNKED, *options.POSIX, *options.NFS]

    @classmethod
    def shared_place(cls, configuration: Any) -> str | None:
        """Return the share."""
        return str(configuration.backup_share or "").rstrip("/") or None

    def make_store(self) -> ObjectStore:
        """Return the share's directory."""
        return DirectoryStore(_mount(self.configuration).place)

    def files_directory(self) -> str | None:
        """Return the share's directory. :raises BackupDriverException: it cannot be mounted."""
        return str(_mount(self.configuration).require())

    def mounted_directory(self) -> str | None:
        """Return the share's directory, where it is mounted."""
        mount = _mount(self.configuration)
        if not os.path.ismount(mount.place):
            raise BackupDriverException(f"{mount.share} is not mounted in {mount.place}: mount it")
        return str(mount.place)

    def check_for_setup_error(self) -> None:
        """Mount the share, so that nothing is kept beside it."""
        _mount(self.configuration).require()
        super().check_for_setup_error()


def _mount(configuration: Any) -> NfsMount:
    return NfsMount(
        share=str(configuration.backup_share or ""),
        base=Path(configuration.backup_mount_point_base),
        options=str(configuration.backup_mount_options or ""),
        attempts=int(configuration.backup_mount_attempts),
        root_helper=str(configuration.safe_get("backup_root_helper") or "sudo"),
    )
