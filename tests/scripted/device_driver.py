# SPDX-License-Identifier: Apache-2.0
"""A scripted volume driver with readable snapshots, which may choose the backup's source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.interface.records import Record
from drivers.interface.volume import Update
from tests.scripted.volume_driver import ScriptedDriver


class ScriptedDevice(ScriptedDriver):
    """Reads snapshots as it does volumes.

    A plan of ``get_backup_device`` with ``kind`` and ``id`` names the source.
    """

    def backup_use_temp_snapshot(self) -> bool:
        return bool(self._play("backup_use_temp_snapshot", False))

    def get_backup_device(self, context: Any, backup: Record) -> Any:
        planned = self._script.planned("get_backup_device")
        if not planned:
            raise NotImplementedError
        found = Record(planned.get("kind", "volume"), {"id": planned.get("id")})
        answer = (found, found.kind == "snapshot")
        return self._play("get_backup_device", answer, backup=backup.id, is_admin=context.is_admin)

    def create_export_snapshot(
        self, context: Any, snapshot: Record, connector: Mapping[str, Any] | None
    ) -> Update:
        return self._play("create_export_snapshot", None, id=snapshot.id)

    def remove_export_snapshot(self, context: Any, snapshot: Record) -> None:
        self._play("remove_export_snapshot", id=snapshot.id)

    def initialize_connection_snapshot(
        self, snapshot: Record, connector: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return self._play("initialize_connection_snapshot", {}, id=snapshot.id)

    def terminate_connection_snapshot(
        self, snapshot: Record, connector: Mapping[str, Any] | None
    ) -> None:
        self._play("terminate_connection_snapshot", id=snapshot.id)
