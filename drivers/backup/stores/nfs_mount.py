# SPDX-License-Identifier: Apache-2.0
"""Mount the share in which backups are kept."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_concurrency import lockutils, processutils

from drivers import own_directories
from drivers.bound_programs import bound
from drivers.interface.errors import BackupDriverException

LOG = logging.getLogger(__name__)

_SHARE = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[A-Za-z0-9][\w.-]*):/\S*")
"""``host:/path``, the host also as an address of IPv6 in brackets."""

_OPTIONS = re.compile(r"[^-\s]\S*|")
"""Also with addresses of IPv6, and contexts of SELinux in quotes: no shell reads them."""

_USABLE = os.R_OK | os.W_OK | os.X_OK

_TIMEOUT = 180.0
"""Seconds of one attempt; mount.nfs itself gives up after two minutes."""


@dataclass(frozen=True)
class NfsMount:
    """A share, and the directory in which it is mounted, as Cinder names it.

    :param base: ``backup_mount_point_base``.
    :param options: of mount; may be empty.
    :param attempts: how often it is tried.
    :param root_helper: the command with which mount is run, where this process is not root's.
    """

    share: str
    base: Path
    options: str = ""
    attempts: int = 1
    root_helper: str = "sudo"

    @property
    def place(self) -> Path:
        """The directory: named by the MD5 of the share, in hexadecimal."""
        name = hashlib.md5(self.share.encode(), usedforsecurity=False).hexdigest()
        return self.base / name

    def require(self) -> Path:
        """Return the directory, with the share mounted in it.

        Processes that start together mount it once. A share that this process may not write is
        given to its group, as Cinder does.

        :raises BackupDriverException: the share or the options cannot be right, or a command
            failed; with the reason.
        """
        if not _SHARE.fullmatch(self.share):
            text = f"backup_share = {self.share!r:.120} is no share, such as host:/backups"
            raise BackupDriverException(text)
        if not _OPTIONS.fullmatch(self.options):
            text = f"backup_mount_options = {self.options!r:.120} are no options of mount"
            raise BackupDriverException(text)
        if not os.path.ismount(self.place):
            self._mount_once()
        if not os.access(self.place, _USABLE):
            self._give_to_group()
        return self.place

    def _mount_once(self) -> None:
        try:
            own_directories.make(self.place)
            with lockutils.lock("backup-mount", external=True, lock_path=str(self.base)):
                if not os.path.ismount(self.place):
                    self._mount()
        except OSError as error:
            text = f"{self.place} cannot be made: {error.strerror}"
            raise BackupDriverException(text) from error
        if not os.path.ismount(self.place):
            raise BackupDriverException(f"{self.share} is not mounted in {self.place}")
        LOG.info("backups: %s is mounted in %s", self.share, self.place)

    def _mount(self) -> None:
        options = ["-o", self.options] if self.options else []
        command = ["mount", "-t", "nfs", *options, self.share, str(self.place)]
        self._run(command, attempts=self.attempts, timeout=_TIMEOUT)

    def _give_to_group(self) -> None:
        """Let the group of this process use the share: a new one belongs to root."""
        place, group = str(self.place), os.getegid()
        LOG.warning("backups: %s cannot be written, it is given to group %d", place, group)
        self._run(["chgrp", "-R", str(group), place])
        self._run(["chmod", "-R", "g+rwX", place])
        if not os.access(self.place, _USABLE):
            text = f"{self.share} cannot be written by group {group}, although it owns {place}"
            raise BackupDriverException(f"{text}: look at the export's options")

    def _run(self, command: list[str], **how: Any) -> None:
        # A helper such as sudo gives the program more rights, and takes the bond from it.
        run = bound(command) if os.geteuid() == 0 else command
        try:
            processutils.execute(*run, run_as_root=True, root_helper=self.root_helper, **how)
        except (processutils.ProcessExecutionError, OSError) as error:
            reason = getattr(error, "stderr", "") or getattr(error, "strerror", "") or str(error)
            shown = " ".join(str(reason).split())
            raise BackupDriverException(f"{' '.join(command)} failed: {shown:.500}") from error
