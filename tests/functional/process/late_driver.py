# SPDX-License-Identifier: Apache-2.0
"""A driver that hangs before it carries out a call, and carries it out after all."""

from __future__ import annotations

from typing import Any

from drivers.interface.records import Record
from tests.scripted.volume_driver import ScriptedDriver


class LateDriver(ScriptedDriver):
    """Makes a volume after the wait that the plan says."""

    def create_volume(self, volume: Record) -> Any:
        answer = self._play("create_volume", None, id=volume.id)
        self._script.make(volume.name)
        return answer

    def revert_to_snapshot(self, context: Any, volume: Record, snapshot: Record) -> None:
        self._play("revert_to_snapshot", id=volume.id)

    def snapshot_revert_use_temp_snapshot(self) -> bool:
        return False
