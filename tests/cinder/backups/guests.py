# SPDX-License-Identifier: Apache-2.0
"""Backup drivers as a third party writes them for Cinder: no part of Holdfast is imported."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

from cinder import exception
from cinder.backup import driver
from cinder.backup.drivers import posix
from cinder.volume import volume_utils
from oslo_config import cfg

CONF = cfg.CONF
CONF.register_opts(
    [
        cfg.StrOpt("guest_directory", help="Directory of the backups."),
        cfg.StrOpt("guest_gate", help="While this file is there, copies wait after each piece."),
        cfg.IntOpt("guest_piece", default=1 << 20, help="Bytes that are copied at once."),
    ]
)


class FileGuest(driver.BackupDriver):
    """Keeps each backup, always a full one, as a directory with a file."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.support_force_delete = True

    def check_for_setup_error(self) -> None:
        if not CONF.guest_directory:
            raise exception.InvalidConfigurationValue(option="guest_directory", value=None)
        os.makedirs(CONF.guest_directory, exist_ok=True)

    def backup(self, backup: Any, volume_file: Any, backup_metadata: bool = False) -> Any:
        place = f"{backup.id}-{time.time_ns()}"
        backup.service_metadata = place
        backup.save()
        directory = os.path.join(CONF.guest_directory, place)
        os.makedirs(directory)
        with open(os.path.join(directory, "metadata"), "w", encoding="utf-8") as file:
            file.write(self.get_metadata(backup.volume_id))
        volume_file.seek(0)
        with open(os.path.join(directory, "data"), "wb") as file:
            self._copy(volume_file, file)
        return {"object_count": 1}

    def restore(self, backup: Any, volume_id: str, volume_file: Any, volume_is_new: bool) -> None:
        directory = os.path.join(CONF.guest_directory, backup.service_metadata)
        with open(os.path.join(directory, "data"), "rb") as file:
            self._copy(file, volume_file)
        with open(os.path.join(directory, "metadata"), encoding="utf-8") as file:
            self.put_metadata(volume_id, file.read())

    def delete_backup(self, backup: Any) -> None:
        if backup.service_metadata:
            directory = os.path.join(CONF.guest_directory, backup.service_metadata)
            shutil.rmtree(directory, ignore_errors=True)

    def _copy(self, source: Any, target: Any) -> None:
        while data := source.read(CONF.guest_piece):
            target.write(data)
            while CONF.guest_gate and os.path.exists(CONF.guest_gate):
                time.sleep(0.02)


class OlderGuest(FileGuest):
    """Has the methods of an older release of Cinder."""

    def restore(self, backup: Any, volume_id: str, volume_file: Any) -> None:  # type: ignore[override]
        super().restore(backup, volume_id, volume_file, False)


class StatusGuest(FileGuest):
    """Writes statuses, which is the manager's part."""

    def backup(self, backup: Any, volume_file: Any, backup_metadata: bool = False) -> Any:
        found = super().backup(backup, volume_file, backup_metadata)
        backup.status, backup.fail_reason, backup.host = "error", "guest", "elsewhere"
        backup.save()
        return {**found, "no_such_column": 7}


class SwallowingGuest(FileGuest):
    """Turns each error into one of its own."""

    def backup(self, backup: Any, volume_file: Any, backup_metadata: bool = False) -> Any:
        try:
            return super().backup(backup, volume_file, backup_metadata)
        except BaseException as error:
            raise exception.BackupOperationError(reason="of the guest") from error


class NotifyingGuest(FileGuest):
    """Notifies of its progress through Cinder."""

    def backup(self, backup: Any, volume_file: Any, backup_metadata: bool = False) -> Any:
        facts = {"id": 3, "list": [{"o": 1}] * 20000, "prefix": "P", "backup_percent": 7}
        volume_utils.notify_about_backup_usage(
            self.context, backup, "createprogress", extra_usage_info=facts
        )
        return super().backup(backup, volume_file, backup_metadata)


class PosixGuest(posix.PosixBackupDriver):
    """Cinder's own driver of directories, under another name: it has no counterpart of ours."""
