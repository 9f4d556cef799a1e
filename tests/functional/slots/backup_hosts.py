# SPDX-License-Identifier: Apache-2.0
"""A volume service, and two backup hosts with one store and one journal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oslo_messaging

from drivers.interface.records import Record
from tests.functional.backups.backup_cloud import BackupCloud
from tests.functional.cloud import REQUEST, encoded
from tests.functional.service import Service
from tests.functional.slots.hosts import TIMES
from tests.servers import until
from worker.journal.journal import Journal

FIRST, SECOND = "h1", "h2"
SLOW = {"backup_bandwidth_limit": 2, "backup_file_size": 32768 * 32, "backup_transfers": 1}
"""Backups and restores of some seconds, of many objects."""


class BackupHosts(BackupCloud):
    """The backup hosts h1 and h2.

    :param journal: URL of the journal's database.
    """

    def __init__(
        self, make: Callable[..., Service], bus: str, database: str, journal: str, directory: Path
    ) -> None:
        self.shared = directory / "store"
        options: dict[str, Any] = {
            **SLOW,
            "backup_posix_path": str(self.shared),
            "backup_posix_path_shared": True,
        }
        sections = {"journal": {"connection": journal, **TIMES}}
        local = {"volume_driver": "local", "local_path": str(directory / "volumes")}
        super().__init__(make, bus, database, directory, local, options, **sections)
        self.second = make(
            bus=bus,
            database=database,
            backends=self.backends,
            sections={**sections, "DEFAULT": {**options, "host": SECOND}},
            module="worker.cmd.backup",
            name="second",
        )
        self.backup_service.module = "tests.functional.slots.held_deletion"
        self.hold = directory / "hold"
        self._journal = Journal(journal)

    def start(self) -> None:
        """Start all services."""
        self.second.launch()
        super().start()
        self.second.wait_for_notice("READY=1")
        self.wait_armed()

    def reset(self) -> None:
        """Start the first backup host if it does not run."""
        self.hold.unlink(missing_ok=True)
        if self.backup_service.process is None:
            self.backup_service.start()
            self.wait_armed()

    def wait_armed(self) -> None:
        """Wait until the hosts may adopt each other's operations."""
        table = self._journal.slots.table
        assert table is not None

        def armed() -> bool:
            rows = {one.slot: one.armed for one in table.every()}
            return len(rows) == 2 and all(rows.values())

        until(armed, 30, "armed leases")

    def cast_to(self, host: str, method: str, **args: Any) -> None:
        """Send a cast to one host."""
        target = oslo_messaging.Target(
            exchange="openstack", topic="cinder-backup", server=host, version="2.0"
        )
        client = oslo_messaging.get_rpc_client(self._transport, target)
        client.cast(dict(REQUEST), method, **encoded(args))

    def large(self, seed: int) -> Record:
        """Make a volume whose backup takes some seconds."""
        volume = self.filled(seed)
        self.scribble(volume, seed + 1000, places=10)
        return volume

    def recorded(self, at_least: int) -> list[Any]:
        """Wait for checkpoints in the store, and return their entries."""
        pattern = ".checkpoint-*-?????"
        until(lambda: len([*self.shared.rglob(pattern)]) >= at_least, 30, "checkpoints")
        found = sorted(self.shared.rglob(pattern))
        return [json.loads(one.read_bytes().split(b"\n")[1]) for one in found]

    def objects(self) -> dict[str, Path]:
        """Return the files of all objects by name."""
        return {one.name: one for one in self.shared.rglob("volume_*-?????")}

    def remains(self) -> list[str]:
        """Return checkpoints and temporary files in the store."""
        return [one.name for one in self.shared.rglob(".*") if one.name != ".holdfast-backend"]

    def unfinished(self) -> int:
        """Return how many operations of the journal have not ended."""
        return len(self._journal.entries(among=["RUNNING", "PENDING", "SUSPENDED"]))

    def close(self) -> None:
        """Close the connections."""
        self._journal.close()
        super().close()
