# SPDX-License-Identifier: Apache-2.0
"""The store of backups, which a command reads itself, with the options of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drivers.interface.errors import BackupDriverException
from worker.backends.directory_mark import DirectoryMark, NotMounted
from worker.cli.access import Access, CommandError

if TYPE_CHECKING:
    from drivers.interface.backup import BackupDriver
    from drivers.interface.records import Record


class OwnStore:
    """The store of the backup service of this host."""

    def __init__(self, access: Access) -> None:
        # Late: help needs no configuration, which loads 50 modules.
        from worker.conf.option_groups import backup as options

        self._settings = options.Settings(access.conf)
        self._class, self._services = options.driver_class(access.conf)
        self._host = str(access.conf.host)
        self._state_path = str(access.conf.state_path)

    def driver(self) -> BackupDriver:
        """Return a driver; nothing is asked of the store yet."""
        made: BackupDriver = self._class(self._settings)
        return made

    def require_directory(self, driver: BackupDriver) -> None:
        """Check that the directory of a driver that keeps files is mounted; nothing is written.

        :raises BackupDriverException: it is not the one that the service of this host uses.
        """
        mark = DirectoryMark(f"{self._host} {self._services[0]}", self._state_path, lambda: True)
        try:
            place = getattr(driver, "mounted_directory", lambda: None)()
            if place is not None:
                mark.require(Path(place))
        except (NotMounted, OSError) as error:
            raise BackupDriverException(f"the store cannot be read: {error}") from error

    def has(self, backup: Record) -> bool:
        """Return whether a backup is kept by this driver."""
        return not backup.service or any(name.startswith(backup.service) for name in self._services)

    def require(self, backup: Record) -> None:
        """:raises CommandError: another driver keeps it."""
        if not self.has(backup):
            raise CommandError(f"backup {backup.id} is kept by {backup.service}, not by us")

    def is_here(self, backup: Record) -> bool:
        """Return whether this host has a backup: it is its own, or the store is shared."""
        if not self.has(backup):
            return False
        find = getattr(self._class, "shared_place", lambda _settings: None)
        return backup.host in (None, self._host) or find(self._settings) is not None
