# SPDX-License-Identifier: Apache-2.0
"""A database, a backend, a journal and locks that agree, to be put at odds by tests."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from oslo_utils import units

from drivers.volume.local import LocalDriver
from flows.volume import delete
from tests.unit.db.world import LONG_AGO, Tables
from worker.audit.every_kind import KINDS
from worker.audit.sources import AuditedBackend, Sources
from worker.audit.two_looks import Audit, Report
from worker.db.criteria import BackendRows
from worker.db.database import Database
from worker.db.records import Records
from worker.journal.journal import Journal
from worker.rpc.operation import Operation

HOST = "node@local"
POOL = f"{HOST}#local"
PROJECT = "p" * 32
_OLD = {"created_at": LONG_AGO, "updated_at": LONG_AGO}


class Place:
    """All places, with functions that make resources in them as they should be."""

    def __init__(self, folder: Path, empty_database: Path, empty_journal: Path) -> None:
        shutil.copyfile(empty_database, folder / "db.sqlite")
        shutil.copyfile(empty_journal, folder / "journal.sqlite")
        self.database = Database(f"sqlite:///{folder / 'db.sqlite'}", sqlite_synchronous=False)
        self.records = Records(self.database)
        self.tables = Tables(self.database)
        self.journal = Journal(f"sqlite:///{folder / 'journal.sqlite'}")
        self.volumes = folder / "volumes"
        options = {"local_path": str(self.volumes), "local_export": "file"}
        self.driver = LocalDriver(SimpleNamespace(**options), host=HOST)
        self.driver.do_setup(None)
        self.type_id = self.tables.row("volume_types")["id"]

    def close(self) -> None:
        """Close the connections."""
        self.database.dispose()
        self.journal.close()

    @property
    def sources(self) -> Sources:
        """The places as an audit gets them."""
        backend = AuditedBackend(BackendRows(HOST), lambda: self.driver.list_objects((), ()))
        return Sources(database=self.database, journal=self.journal, backends=[backend])

    def audit(self, pause: Any = lambda: None, **options: Any) -> Report:
        """Audit all places."""
        return Audit(self.sources, KINDS, pause, **options).run()

    def found(self, **options: Any) -> list[tuple[str, str]]:
        """Return the kind and the resource of each drift that an audit finds."""
        return [(one.kind.name, one.drift.resource_id) for one in self.audit(**options).findings]

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

    def file(self, name: str, gib: int) -> None:
        """Make an object."""
        with (self.volumes / name).open("wb") as file:
            file.truncate(gib * units.Gi)

    def without(self, name: str) -> None:
        """Remove an object."""
        (self.volumes / name).unlink()

    def operation(self, volume_id: str) -> None:
        """Have an unfinished operation on a volume in the journal."""
        args = {"volume_id": volume_id}
        operation = Operation(delete.flow, ("volume", volume_id), args, method="delete_volume")
        self.journal.accept(str(uuid.uuid4()), f"{HOST}/0", operation)

    def healthy(self) -> None:
        """Make resources of every sort that agree with each other."""
        volume_id = self.volume()
        self.snapshot(volume_id)
        self.volume(status="error", data=False)
        self.volume(size=3, _name_id=str(uuid.uuid4()))
        self.file("found.img", 1)
