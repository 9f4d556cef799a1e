# SPDX-License-Identifier: Apache-2.0
"""A backup driver that follows a file; its calls are noted there."""

from __future__ import annotations

import builtins
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from oslo_config import cfg

from drivers.interface import errors
from drivers.interface.backup import BackupDriver, Update
from drivers.interface.records import Record
from tests.scripted.volume_driver import Script, wait_for


class ScriptedBackupDriver(BackupDriver):
    """Follows the plan, and otherwise does a driver's work."""

    OPTS: ClassVar[list[cfg.Opt]] = [cfg.StrOpt("backup_script", help="Directory of the script.")]

    support_force_delete = True

    def __init__(self, configuration: Any, **more: Any) -> None:
        super().__init__(configuration, **more)
        self._script = Script(Path(configuration.backup_script))

    def check_for_setup_error(self) -> None:
        self._play("check_for_setup_error")

    def place(self, backup: Record) -> Update:
        return self._play("place", {"container": "c", "service_metadata": "p"}, id=backup.id)

    def backup(
        self, backup: Record, volume_file: BinaryIO, backup_metadata: bool = False, **_: Any
    ) -> Update:
        data = volume_file.read(16)
        self._script.make(backup.id)
        return self._play("backup", {"object_count": 1}, id=backup.id, data=str(data))

    def restore(self, backup: Record, volume_id: str, volume_file: BinaryIO, **_: Any) -> None:
        volume_file.write(b"restored")
        self._play("restore", id=backup.id, volume=volume_id)

    def delete_backup(self, backup: Record) -> None:
        self._play("delete_backup", id=backup.id)
        self._script.remove(backup.id)

    def export_record(self, backup: Record) -> Mapping[str, Any]:
        return self._play("export_record", {"place": "there"}, id=backup.id)

    def import_record(self, backup: Record, driver_info: Mapping[str, Any]) -> None:
        self._play("import_record", id=backup.id, info=dict(driver_info))

    def _play(self, method: str, answer: Any = None, **details: Any) -> Any:
        self._script.note(method, **details)
        planned = self._script.planned(method)
        if "wait_for" in planned:
            wait_for(Path(planned["wait_for"]))
        if "seconds" in planned:
            time.sleep(planned["seconds"])
        if "raise" in planned:
            kind = getattr(errors, planned["raise"], None) or getattr(builtins, planned["raise"])
            raise kind(planned.get("text", f"{method} was told to fail"))
        return planned.get("return", answer)
