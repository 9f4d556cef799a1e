# SPDX-License-Identifier: Apache-2.0
"""A database, a backend, a journal and locks that agree, to be put at odds by tests."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import shutil
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils, units
from taskflow.persistence.models import FlowDetail

from drivers.backup.stored_list import StoredList
from drivers.backup.stores.directory_store import DirectoryStore
from drivers.interface.listing import BackendObject
from drivers.volume.local import LocalDriver
from flows.volume import delete
from tests.unit.db.world import LONG_AGO, Tables
from worker.audit.drift_search import Audit, Finding, Report
from worker.audit.every_kind import KINDS
from worker.audit.sources import AuditedBackend, Sources
from worker.cli.auditing.repairs import repair_rows
from worker.db import models
from worker.db.criteria import BackendRows
from worker.db.database import Database
from worker.db.records import Records
from worker.db.records.drift_repairs import DriftRepairs
from worker.journal.journal import Journal
from worker.rpc.operation import Operation

HOST = "node@local"
POOL = f"{HOST}#local"
PROJECT = "p" * 32
_OLD = {"created_at": LONG_AGO, "updated_at": LONG_AGO}
_SERVICE = {
    "host": HOST,
    "binary": "cinder-volume",
    "topic": "cinder-volume",
    "report_count": 1,
    "uuid": "99999999-0000-0000-0000-000000000000",
}


class _Store(StoredList):
    """A store in a directory, of which only the list is used."""

    def __init__(self, place: Path) -> None:
        self._store = DirectoryStore(place)

    def backup(self, *_args: Any, **_options: Any) -> None: ...

    def restore(self, *_args: Any, **_options: Any) -> None: ...

    def delete_backup(self, *_args: Any) -> None: ...


class Place:
    """All places, with functions that make resources in them as they should be."""

    def __init__(self, folder: Path, empty_database: Path, empty_journal: Path) -> None:
        shutil.copyfile(empty_database, folder / "db.sqlite")
        shutil.copyfile(empty_journal, folder / "journal.sqlite")
        self.database = Database(f"sqlite:///{folder / 'db.sqlite'}", sqlite_synchronous=False)
        self.records = Records(self.database)
        self.tables = Tables(self.database)
        self._journal_file = folder / "journal.sqlite"
        self.journal = Journal(f"sqlite:///{self._journal_file}")
        self.volumes = folder / "volumes"
        options = {"local_path": str(self.volumes), "local_export": "file"}
        self.driver = LocalDriver(SimpleNamespace(**options), host=HOST)
        self.driver.do_setup(None)
        self.type_id = self.tables.row("volume_types")["id"]
        self.encrypted_id = self.tables.volume_type("luks")
        self.tables.add("encryption", encryption_id="e", **self._of_type)
        self.service_id: int = self.tables.add("services", **_SERVICE)
        self.exports: dict[str, tuple[str, ...]] = {}
        self.backups = folder / "backups"
        self.store = _Store(self.backups)
        self.locks = folder / "locks"
        self.locks.mkdir()

    def close(self) -> None:
        """Close the connections."""
        self.database.dispose()
        self.journal.close()

    @property
    def _of_type(self) -> dict[str, Any]:
        return {"volume_type_id": self.encrypted_id, "provider": "luks", "control_location": "x"}

    @property
    def sources(self) -> Sources:
        """The places as an audit gets them."""
        return Sources(
            database=self.database,
            journal=self.journal,
            backends=[AuditedBackend(BackendRows(HOST), self._objects)],
            lock_files=self.locks,
            served=[HOST],
            backup_host="node",
            stored_backups=self._stored,
        )

    def _stored(self, containers: Iterable[str]) -> Iterator[str]:
        return self.store.list_backups(containers)

    def _objects(self) -> Iterator[BackendObject]:
        for one in self.driver.list_objects((), ()):
            known = self.exports.get(one.name, ()) if one.kind == "volume" else None
            yield dataclasses.replace(one, consumers=known)

    def audit(self, pause: Any = lambda: None, **options: Any) -> Report:
        """Audit all places."""
        return Audit(self.sources, KINDS, pause, **options).run()

    def found(self, **options: Any) -> list[tuple[str, str]]:
        """Return the kind and the resource of each drift that an audit finds."""
        return [(one.kind.name, one.drift.resource_id) for one in self.audit(**options).findings]

    def repair(self, finding: Finding) -> bool:
        """Repair a drift of rows."""
        return repair_rows(finding, self.records, DriftRepairs(self.database, count_snapshots=True))

    # -- resources as they should be -------------------------------------------------

    def volume(self, *, data: bool = True, **columns: Any) -> str:
        """Make a volume with its object; return its id."""
        given = {"host": POOL, "size": 1, "status": "available", "attach_status": "detached"}
        given |= {"project_id": PROJECT, "volume_type_id": self.type_id, "use_quota": True}
        volume_id: str = self.tables.add("volumes", **{**_OLD, **given, **columns})
        if data:
            self.file(f"volume-{columns.get('_name_id') or volume_id}", columns.get("size", 1))
        return volume_id

    def snapshot(self, volume_id: str, *, data: bool = True, **columns: Any) -> str:
        """Make a snapshot with its object; return its id."""
        given = {"volume_id": volume_id, "volume_size": 1, "status": "available"}
        given |= {"project_id": PROJECT, "volume_type_id": self.type_id, "use_quota": True}
        snapshot_id: str = self.tables.add("snapshots", **{**_OLD, **given, **columns})
        if data:
            self.file(f"volume-{volume_id}@snapshot-{snapshot_id}", 1)
        return snapshot_id

    def attachment(self, volume_id: str, **columns: Any) -> str:
        """Make an attachment of a host, with its export; return its id."""
        given = {"volume_id": volume_id, "attach_status": "attached", "attached_host": "compute"}
        given |= {"connector": '{"host": "compute"}'}
        self.exports[f"volume-{volume_id}"] = ("compute",)
        return str(self.tables.add("volume_attachment", **{**_OLD, **given, **columns}))

    def backup(self, *, data: bool = True, **columns: Any) -> str:
        """Make a backup of a volume, with its metadata in the store; return its id."""
        given = {"volume_id": str(uuid.uuid4()), "host": "node", "status": "available", "size": 1}
        backup_id = str(self.tables.add("backups", **{**_OLD, **given, **columns}))
        if data and columns.get("status", "available") == "available":
            self.stored(backup_id)
        return backup_id

    def stored(self, backup_id: str) -> None:
        """Put the metadata of a backup into the store."""
        place = self.backups / backup_id[:2] / backup_id[2:4] / backup_id
        place.mkdir(parents=True)
        (place / f"volume_x_20260101_backup_{backup_id}_metadata").touch()
        (place / f"volume_x_20260101_backup_{backup_id}-00001").touch()

    def usage(self, project: str, resource: str, in_use: int, reserved: int = 0) -> int:
        """Write a usage of quota; return its id."""
        row = {"project_id": project, "resource": resource, "in_use": in_use, "reserved": reserved}
        usage_id: int = self.tables.add("quota_usages", **{**_OLD, **row, "race_preventer": None})
        return usage_id

    def reservation(self, usage_id: int, project: str, expire: datetime.datetime) -> str:
        """Reserve one volume; return the id."""
        row = {"uuid": str(uuid.uuid4()), "usage_id": usage_id, "project_id": project, "delta": 1}
        self.tables.add("reservations", **{**_OLD, **row, "resource": "volumes", "expire": expire})
        return row["uuid"]  # type: ignore[return-value]

    def work(self, resource_type: str, resource_id: str, status: str, **columns: Any) -> None:
        """Make a work row."""
        row = {"resource_type": resource_type, "resource_id": resource_id, "status": status}
        given = {"service_id": self.service_id, "race_preventer": 0, **row, **columns}
        self.tables.add("workers", **{**_OLD, **given})

    def file(self, name: str, gib: int) -> None:
        """Make an object."""
        with (self.volumes / name).open("wb") as file:
            file.truncate(gib * units.Gi)

    def without(self, name: str) -> None:
        """Remove an object."""
        (self.volumes / name).unlink()

    def operation(self, volume_id: str, slot: str = f"{HOST}/0") -> FlowDetail:
        """Have an unfinished operation on a volume in the journal."""
        args = {"volume_id": volume_id}
        operation = Operation(delete.flow, ("volume", volume_id), args, method="delete_volume")
        found = self.journal.accept(str(uuid.uuid4()), slot, operation)
        assert found is not None
        return found

    def since_long(self, detail: FlowDetail) -> str:
        """Make an entry of the journal appear old; return its id."""
        with contextlib.closing(sqlite3.connect(self._journal_file)) as opened, opened:
            change = "UPDATE flowdetails SET created_at = ?, updated_at = ? WHERE uuid = ?"
            opened.execute(change, (f"{LONG_AGO}", f"{LONG_AGO}", detail.uuid))
        return str(detail.uuid)

    def healthy(self) -> None:
        """Make resources of every sort that agree with each other."""
        volume_id = self.volume(service_uuid=_SERVICE["uuid"])
        self.snapshot(volume_id)
        self.volume(status="error", data=False)
        self.volume(size=3, _name_id=str(uuid.uuid4()))
        self.file("found.img", 1)
        self._in_use()
        self._owned(volume_id)
        self._at_work()
        self._backed_up()
        (self.locks / f"cinder-{volume_id}-delete_volume").touch()
        (self.locks / "cinder-slot-0123").touch()

    def _in_use(self) -> None:
        used = self.volume(status="in-use", attach_status="attached")
        self.attachment(used)
        secret = self.volume(volume_type_id=self.encrypted_id, encryption_key_id="k")
        self.snapshot(secret, encryption_key_id="k")

    def _owned(self, volume_id: str) -> None:
        group_id = self.tables.add("groups", host=POOL, status="available", project_id=PROJECT)
        self.volume(group_id=group_id)
        entry = {"host": HOST, "image_id": "i", "volume_id": volume_id, "size": 1}
        self.cache_entry(**entry)
        project = "q" * 32
        self.volume(project_id=project, size=2)
        self.usage(project, "gigabytes", 2)
        usage_id = self.usage(project, "volumes", 1, reserved=1)
        self.reservation(usage_id, project, timeutils.utcnow() + datetime.timedelta(days=1))

    def cache_entry(self, **columns: Any) -> None:
        """Make an entry of the cache of images."""
        insert = sa.insert(models.image_volume_cache_entries)
        values = {"last_used": LONG_AGO, **columns}
        self.database.write(lambda connection: connection.execute(insert.values(values)))

    def _at_work(self) -> None:
        """Work that is under way, and some that has ended."""
        made = self.volume(status="creating", data=False, updated_at=timeutils.utcnow())
        self.work("Volume", made, "creating")
        source = self.volume(status="maintenance", migration_status="migrating")
        self.volume(data=False, use_quota=False, migration_status=f"target:{source}")
        self.operation(self.volume(status="deleting"))

    def _backed_up(self) -> None:
        full = self.backup(num_dependent_backups=1)
        self.backup(parent_id=full)
        name = {"display_name": "backup-vol-x", "use_quota": False}
        self.backup(status="creating", temp_volume_id=self.volume(**name))
