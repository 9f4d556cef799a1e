# SPDX-License-Identifier: Apache-2.0
"""The life of another volume, on another thread, while a call of a test is suspended."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ..records import snapshot_record, volume_record

if TYPE_CHECKING:
    from .modes import Live

HOST = "node@conformance#conformance"


class Companion:
    """Makes a volume, a snapshot, and a copy of it, and deletes them."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def work(self) -> None:
        """Live a whole life; the driver's records get the columns that it returns."""
        volume, copy = volume_record(HOST), volume_record(HOST)
        snapshot = snapshot_record(volume)
        call = self._live.method
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: call("delete_volume")(volume))
            volume = volume.replace(**(call("create_volume")(volume) or {}))
            snapshot = snapshot.replace(volume=volume)
            stack.callback(lambda: call("delete_snapshot")(snapshot))
            snapshot = snapshot.replace(**(call("create_snapshot")(snapshot) or {}))
            stack.callback(lambda: call("delete_volume")(copy))
            copy = copy.replace(**(call("create_volume_from_snapshot")(copy, snapshot) or {}))
