# SPDX-License-Identifier: Apache-2.0
"""Two services whose drivers follow scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.functional.backups.backup_cloud import BackupCloud
from tests.notifications import Notifications
from tests.scripted.volume_driver import Script

DRIVER = "tests.scripted.backup_driver.ScriptedBackupDriver"
VOLUME_DRIVER = "tests.scripted.device_driver.ScriptedDevice"

Plan = dict[str, dict[str, Any]]


class ScriptedCloud(BackupCloud):
    """Two services that follow scripts."""

    store_script: Script
    device: Path
    notices: Notifications

    def play(self, volume: Plan | None = None, store: Plan | None = None) -> None:
        """Give the drivers a new plan."""
        there = {"driver_volume_type": "local", "data": {"device_path": str(self.device)}}
        ways = ("initialize_connection", "initialize_connection_snapshot")
        connect = {name: {"return": there} for name in ways}
        self.script.plan(**{**connect, **(volume or {})})
        self.store_script.plan(**(store or {}))

    def told(self, resource: Record) -> list[str]:
        """Return the user messages about a resource, without their constant fields."""
        found = [m for m in self.records.messages.list() if m.resource_uuid == resource.id]
        return [m.event_id.removeprefix("VOLUME_VOLUME_BACKUP_") for m in found]

    def states(self, volume: Record) -> tuple[str, str | None]:
        """Return a volume's status and the one before it."""
        row = self.records.volumes.get(volume.id)
        return row.status, row.previous_status


FAILURES = ("BackupDriverException", "OSError", "KeyboardInterrupt", "MemoryError")


def failing(method: str) -> list[Any]:
    """Return plans in which a method fails in every way."""
    return [pytest.param({method: {"raise": name}}, id=f"{method}-{name}") for name in FAILURES]
