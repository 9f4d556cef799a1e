# SPDX-License-Identifier: Apache-2.0
"""Rows of volumes and backups, a driver that finds damage, and a clock."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oslo_utils import timeutils

from drivers.interface.backup import Damage
from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record
from tests.unit.cli.conftest import Shell
from worker.cli.chains.own_store import OwnStore

DRIVER = "cinder.backup.drivers.posix.PosixBackupDriver"
NOW = datetime.datetime(2026, 3, 10, 23)


class Driver:
    """Finds this damage, by the id of the backup."""

    def __init__(self) -> None:
        self.damage: dict[str, list[Damage]] = {}
        self.read: list[tuple[str, float]] = []
        self.unneeded: set[tuple[str, str]] = set()
        self.away: set[str] = set()
        self.directory: Path | None = None
        self.meanwhile: Callable[[], Any] = lambda: None

    def mounted_directory(self) -> str | None:
        return self.directory and str(self.directory)

    def scrub(self, backup: Record, *, mib_per_second: float = 0) -> list[Damage]:
        self.read.append((backup.id, mib_per_second))
        self.meanwhile()
        if backup.id in self.away:
            raise BackupDriverException("the store is away")
        return self.damage.get(backup.id, [])

    def needed(self, backup: Record, names: list[str]) -> set[str]:
        if backup.id in self.away:
            raise BackupDriverException("the store is away")
        return {one for one in names if (backup.id, one) not in self.unneeded}


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, holdfast: Shell) -> Driver:
    made = Driver()
    monkeypatch.setattr(OwnStore, "driver", lambda _self: made)
    for one in holdfast.records.backups.list():  # of the tests before
        holdfast.records.backups.destroy(one.id)
    Path(holdfast.conf.state_path, "scrub.json").unlink(missing_ok=True)
    service_row(holdfast, "cli")
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeutils, "utcnow", lambda *_args, **_named: NOW)


def service_row(holdfast: Shell, host: str) -> int:
    """Return the row of a backup service, with a heartbeat of now."""
    services, named = holdfast.records.services, {"host": host, "binary": "cinder-backup"}
    versions = {"rpc_version": "2.4", "object_version": "1.39"}
    row = services.ensure(**named, topic="cinder-backup", availability_zone="nova", **versions)
    services.heartbeat(**named, availability_zone="nova")
    return int(row.id)


def backup(holdfast: Shell, volume: str, days: float = 0, **columns: Any) -> str:
    moment = NOW - datetime.timedelta(days=days)
    given = {"id": str(uuid.uuid4()), "volume_id": volume, "host": "cli", "service": DRIVER}
    given |= {"status": "available", "size": 1, "project_id": "p", "service_metadata": "s"}
    times = {"created_at": moment, "data_timestamp": moment}
    return str(holdfast.records.backups.create(**{**given, **times, **columns}).id)


def volume(holdfast: Shell, **columns: Any) -> str:
    given = {"id": str(uuid.uuid4()), "host": "cli@local#local", "status": "available", "size": 1}
    return str(holdfast.records.volumes.create(**{**given, "project_id": "p", **columns}).id)


def policy(tmp_path: Path, text: str) -> str:
    path = tmp_path / "backups.toml"
    path.write_text(f'[[policy]]\nname = "n"\nhost = "cli"\n{text}\n')
    return str(path)
