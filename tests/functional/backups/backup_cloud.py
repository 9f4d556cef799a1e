# SPDX-License-Identifier: Apache-2.0
"""A cloud with a backup service, and volumes whose bytes a test can look at."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import oslo_messaging

from drivers.interface.records import Record
from tests.functional.cloud import BACKEND, NODE, PATIENCE, PROJECT, REQUEST, USER, Cloud, encoded
from tests.functional.service import Service
from tests.reading import blocks
from tests.servers import patient, until
from worker.journal.journal import Journal

GIB = 1024**3

_BLOCK = 4096
SERVICE = "cinder.backup.drivers.posix.PosixBackupDriver"


class BackupCloud(Cloud):
    """A volume service and a backup service of one host.

    :param options: further ones of the backup service.
    :param volume_sections: further sections of the volume service's configuration.
    :param sections: further ones of the backup service's configuration.
    """

    def __init__(
        self,
        make_service: Callable[..., Service],
        bus: str,
        database: str,
        directory: Path,
        backend: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        volume_sections: Mapping[str, Any] | None = None,
        **sections: Any,
    ) -> None:
        super().__init__(make_service, bus, database, directory, backend, **(volume_sections or {}))
        self.request: dict[str, Any] = dict(REQUEST)
        self.volumes_path = directory / "volumes"
        self.store = directory / "service" / "state" / "backup"
        defaults = {
            "rpc_response_timeout": int(patient(5)),
            "backup_driver_stats_polling_interval": 10,
        }
        self.backup_service = make_service(
            bus=bus,
            database=database,
            backends=self.backends,
            sections={
                **sections,
                "DEFAULT": {
                    **defaults,
                    "backup_posix_path": self.store,
                    **(options or {}),
                },
            },
            module="worker.cmd.backup",
            name="backup",
        )

    def start(self) -> None:
        """Start both, side by side."""
        both = (self.service, self.backup_service)
        for service in both:
            service.launch()
        for service in both:
            service.wait_for_notice("READY=1")

    def backup_client(self, version: str = "2.0", timeout: float = 20) -> Any:
        """Return an RPC client that sends as an untouched API does."""
        target = oslo_messaging.Target(
            exchange="openstack", topic="cinder-backup", server=NODE, version=version
        )
        return oslo_messaging.get_rpc_client(self._transport, target, timeout=patient(timeout))

    def cast_backup(self, method: str, version: str = "2.0", **args: Any) -> None:
        """Send a cast to the backup service."""
        self.backup_client(version).cast(dict(self.request), method, **encoded(args))

    def call_backup(self, method: str, version: str = "2.0", **args: Any) -> Any:
        """Send a call to the backup service and return its answer."""
        return self.backup_client(version).call(dict(self.request), method, **encoded(args))

    def backup(self, volume: Record, status: str = "creating", **columns: Any) -> Record:
        """Insert a backup's row as the API and the scheduler leave it."""
        values = {
            "volume_id": volume.id,
            "size": volume.size,
            "host": NODE,
            "user_id": USER,
            "project_id": PROJECT,
            "display_name": "b",
        }
        return self.records.backups.create(**{**values, "status": status, **columns})

    def begin(self, volume: Record, **columns: Any) -> Record:
        """Have a backup of a volume begun, as the API does."""
        before = self.records.volumes.get(volume.id).status
        if not columns.get("snapshot_id"):
            self.records.volumes.update(volume.id, status="backing-up", previous_status=before)
        backup = self.backup(volume, **columns)
        self.cast_backup("create_backup", backup=backup)
        return backup

    def made(self, volume: Record, **columns: Any) -> Record:
        """Make a backup and wait for it."""
        row = self.wait_status(self.begin(volume, **columns), "available")
        assert row is not None
        return row

    def restore(self, backup: Record, volume: Record, new: bool = False) -> None:
        """Have a backup restored, as the API does."""
        self.records.backups.update(backup.id, status="restoring", restore_volume_id=volume.id)
        self.records.volumes.update(volume.id, status="restoring-backup")
        row = self.records.backups.get(backup.id)
        self.cast_backup("restore_backup", backup=row, volume_id=volume.id, volume_is_new=new)

    def failure_of(self, backup: Record) -> str:
        """Wait until the backup service's last operation on a backup has failed; return how."""
        journal, found = self._backup_journal, list[str]()

        def failed() -> list[str]:
            for entry in journal.entries():
                if entry.resource == f"backup {backup.id}" and entry.failure:
                    found.append(str(entry.failure))
            return found

        try:
            until(failed, PATIENCE, "the failure in the journal, which ends after the row")
            return found[0]
        finally:
            journal.close()

    @functools.cached_property
    def _backup_journal(self) -> Journal:
        return Journal(f"sqlite:///{self.backup_service.directory}/state/journal.sqlite")

    def path(self, volume: Record) -> Path:
        """Return the file of a volume of the local backend."""
        return self.volumes_path / volume.name

    def filled(self, seed: int, status: str = "available", **columns: Any) -> Record:
        """Make a volume with something in it."""
        volume = self.volume(status="creating", **columns)
        self.cast("create_volume", volume=volume)
        self.wait_status(volume, "available")
        self.scribble(volume, seed)
        self.records.volumes.update(volume.id, status=status)
        return self.records.volumes.get(volume.id)

    def scribble(self, volume: Record, seed: int, places: int = 8) -> None:
        """Write some places of a volume, up to a MiB each."""
        dice = random.Random(seed)
        with open(self.path(volume), "r+b") as file:
            for _ in range(places):
                file.seek(dice.randrange(volume.size * GIB - 2**20))
                file.write(dice.randbytes(dice.randrange(1, 2**20)))

    def existing(self, status: str = "available", **columns: Any) -> Record:
        """Insert a volume that is on the backend."""
        volume = self.volume(status, **columns)
        if "script" in self.backends[BACKEND]:
            self.script.make(volume.name)
        else:
            with open(self.path(volume), "wb") as file:
                file.truncate(volume.size * GIB)
        return volume

    def same(self, one: Record | Path, other: Record | Path) -> bool:
        """Compare two volumes, where they have data."""
        paths = [self.path(it) if isinstance(it, Record) else it for it in (one, other)]
        return list(blocks(paths[0], _BLOCK)) == list(blocks(paths[1], _BLOCK))
