# SPDX-License-Identifier: Apache-2.0
"""The backup service under attack; the volume service beside it lives."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import oslo_messaging

from drivers.backup.posix import PosixDriver
from drivers.interface.records import Record
from flows.backup import (
    consolidate,
    continue_,
    create,
    delete,
    delete_from_chain,
    record,
    reset,
    restore,
)
from tests.faults.kill.cases.case import Asked, Case
from tests.faults.kill.world import BACKEND, BUS, NODE, World
from tests.functional.service import Service
from tests.servers import Servers
from worker.rpc import objects

DRIVER = "tests.faults.kill.victim_backup.Driver"
OBJECT = 1024 * 1024


class BackupWorld(World):
    """As the world, with a store of backups."""

    module = "tests.faults.kill.victim_backup"
    queue = f"cinder-backup.{NODE}"
    target = oslo_messaging.Target(exchange="openstack", topic="cinder-backup", server=NODE)

    def __init__(self, servers: Servers, folder: Path, *, forked: bool = False) -> None:
        self.store = folder / "b"
        super().__init__(servers, folder, forked=forked)
        self.work = self.service.directory / "state" / "backup-work"
        self._helper = Service(
            folder / "h",
            bus=self.bus,
            database=self.database_url,
            backends={BACKEND: self.backend("local")},
            sections={"DEFAULT": {"executor_thread_pool_size": 200}, **BUS},
            forked=forked,
        )

    def backend(self, driver: str) -> dict[str, Any]:
        """Return the options of the backend: volumes are files for everybody."""
        own = {"volume_driver": "local", "local_export": "file", "local_path_shared": True}
        return {**super().backend(driver), **own}

    def sections(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Return further options of the victim."""
        found = super().sections(folder)
        found["DEFAULT"] |= {
            "backup_driver": DRIVER,
            "backup_posix_path": self.store,
            "backup_file_size": OBJECT,
            "backup_max_operations": 0,
            "backup_transfers": 64,
            "rpc_response_timeout": 20,
        }
        return found

    def start(self) -> None:
        """Start the victim, and the volume service before it."""
        if self._helper.process is None:
            self._helper.start()
        super().start()

    def close(self) -> None:
        """End both."""
        self._helper.close()
        super().close()

    def clear(self) -> None:
        """Forget the backups as well."""
        super().clear()
        for path in self.store.glob("[!.]*"):  # all but the marker
            shutil.rmtree(path)
        for path in self.work.glob("*"):
            path.unlink(missing_ok=True)

    def strays(self, known: set[str]) -> list[str]:
        """Return checkpoints of transfers without a backup as well."""
        aside = [path.name for path in self.work.glob("*")]
        return [*super().strays(known), *(n for n in aside if not any(one in n for one in known))]

    def more_facts(self, roles: dict[str, str]) -> dict[str, Any]:
        """Return the objects in the store, and the checkpoints."""
        found: dict[str, Any] = {}
        for role, one in roles.items():
            if role.startswith("backup"):
                names = [path.name for path in self.store.rglob("*") if path.is_file()]
                ends = [name.partition(one)[2] for name in names if f"backup_{one}" in name]
                # Their numbers may have gaps, where a try stored an object before its checkpoint.
                extra = sorted(end for end in ends if end.startswith("_"))
                found[f"stored {role}"] = (sum(end.startswith("-") for end in ends), extra)
            found[f"aside {role}"] = sorted(path.suffix for path in self.work.glob(f"{one}.*"))
        return found

    def filled(self, project: str, status: str, **more: Any) -> Record:
        """Make a volume with data in a few places."""
        volume = self.volume(project, status, **more)
        with open(self.volumes / volume.name, "r+b") as file:
            for number in range(3):
                file.seek(number * 300 * OBJECT)
                file.write(b"what is to be kept " * 9000)
        return volume

    def kept(self, project: str, volume: Record, status: str, **more: Any) -> Record:
        """Make a backup that is in the store."""
        backup = self.backup(volume, "creating", service=DRIVER, **more)
        driver = self._driver
        backup = backup.replace(**(driver.place(backup) or {}))
        with open(self.volumes / volume.name, "rb") as file:
            update = driver.backup(backup, file)
        placed = {name: backup[name] for name in ("container", "service_metadata")}
        self.records.backups.update(backup.id, **placed, **(update or {}), status=status)
        return self.records.backups.get(backup.id)

    @functools.cached_property
    def _driver(self) -> PosixDriver:
        values = {option.dest: option.default for option in PosixDriver.OPTS}
        aside = str(self.service.directory / "state" / "elsewhere")
        own = {"backup_work_path": aside, "backup_posix_path": str(self.store)}
        driver = PosixDriver(
            SimpleNamespace(**{**values, **own, "backup_file_size": OBJECT}), metadata=None
        )
        driver.check_for_setup_error()
        return driver


def _create(world: BackupWorld, project: str) -> Asked:
    # No service runs for that backend: the volume service's part is another case.
    host = f"{NODE}@nobody#{BACKEND}"
    volume = world.volume(project, "backing-up", previous_status="available", host=host)
    backup = world.backup(volume)
    roles = {"volume": volume.id, "backup": backup.id}
    return Asked(project, backup.id, {"backup": backup}, roles)


def _continue(
    world: BackupWorld,
    project: str,
    *,
    incremental: bool = False,
    in_use: bool = False,
    by_snapshot: bool = False,
) -> Asked:
    before = "in-use" if in_use or by_snapshot else "available"
    volume = world.filled(project, "backing-up", previous_status=before)
    read, more = volume, {}
    roles = {"volume": volume.id}
    if incremental:
        parent = world.kept(project, volume, "available")
        with open(world.volumes / volume.name, "r+b") as file:
            file.write(b"changed")
        more["parent_id"] = roles["backup before"] = parent.id
    if in_use:
        copy = {"display_name": f"backup-vol-{volume.id}", "use_quota": False}
        read = world.filled(project, "backing-up", **copy)
        more["temp_volume_id"] = roles["copy"] = read.id
    if by_snapshot:
        named = {"display_name": f"backup-snap-{volume.id}", "use_quota": False}
        read = world.snapshot(volume, "available", **named)
        more["temp_snapshot_id"] = roles["copy"] = read.id
    backup = world.backup(volume, service=DRIVER, **more)
    roles["backup"] = backup.id
    device = objects.backup_device(read, secure=True)
    return Asked(project, backup.id, {"backup": backup, "backup_device": device}, roles)


def _restore(world: BackupWorld, project: str, *, new: bool) -> Asked:
    volume = world.filled(project, "available")
    parent = world.kept(project, volume, "available")
    with open(world.volumes / volume.name, "r+b") as file:
        file.write(b"changed")
    backup = world.kept(project, volume, "restoring", parent_id=parent.id)
    target = world.volume(project, "creating" if new else "restoring-backup")
    args = {"backup": backup, "volume_id": target.id, "volume_is_new": new}
    roles = {"volume": volume.id, "target": target.id}
    roles |= {"backup": backup.id, "backup before": parent.id}
    return Asked(project, backup.id, args, roles)


def _on_kept(
    world: BackupWorld, project: str, *, status: str, told: dict[str, Any] | None = None
) -> Asked:
    volume = world.filled(project, "available")
    backup = world.kept(project, volume, status)
    roles = {"volume": volume.id, "backup": backup.id}
    return Asked(project, backup.id, {"backup": backup, **(told or {})}, roles)


def _in_chain(world: BackupWorld, project: str, *, deleted: int | None = None) -> Asked:
    """Make a chain of three; one of them is deleted, or else the newest is consolidated."""
    volume = world.filled(project, "available")
    made: list[Record] = []
    roles = {"volume": volume.id}
    for number in range(3):
        with open(world.volumes / volume.name, "r+b") as file:
            file.seek(number * 100_000)
            file.write(b"changed" * (number + 1))
        parent = {"parent_id": made[-1].id} if made else {}
        made.append(world.kept(project, volume, "available", **parent))
        roles[f"backup {number}"] = made[-1].id
        if parent:
            world.records.backups.update(made[-2].id, num_dependent_backups=1)
    backup = world.records.backups.get(made[2 if deleted is None else deleted].id)
    return Asked(project, backup.id, {"backup": backup}, roles)


def _import(world: BackupWorld, project: str) -> Asked:
    asked = _on_kept(world, project, status="available")
    backup = asked.args["backup"]
    told = {"backup_service": DRIVER, "backup_url": record.encode(backup, {})}
    gone = {"container": None, "service_metadata": None, "status": "creating"}
    world.records.backups.update(backup.id, **gone)
    asked.args |= {**told, "backup_hosts": []}
    return asked


CASES = (
    Case("begin backup", "create_backup", create.flow, _create, "2.0"),
    *(
        Case(name, "continue_backup", continue_.flow, functools.partial(_continue, **more), "2.0")
        for name, more in (
            ("backup", {}),
            ("backup, incremental", {"incremental": True}),
            ("backup of a volume in use", {"in_use": True}),
            ("backup of a volume in use, by snapshot", {"by_snapshot": True}),
        )
    ),
    *(
        Case(name, "restore_backup", restore.flow, functools.partial(_restore, new=new), "2.0")
        for name, new in (("restore backup", False), ("restore backup, new volume", True))
    ),
    Case(
        "delete backup",
        "delete_backup",
        delete.flow,
        functools.partial(_on_kept, status="deleting"),
        "2.0",
    ),
    *(
        Case(
            f"delete the {name} backup of a chain",
            "delete_from_chain",
            delete_from_chain.flow,
            functools.partial(_in_chain, deleted=deleted),
            "2.0",
            repeated=True,
        )
        for deleted, name in ((0, "full"), (1, "middle"))
    ),
    Case(
        "consolidate backup",
        "consolidate_backup",
        consolidate.flow,
        _in_chain,
        "2.0",
        repeated=True,
    ),
    Case(
        "reset backup",
        "reset_status",
        reset.flow,
        functools.partial(_on_kept, status="creating", told={"status": "error"}),
        "2.0",
    ),
    Case("import backup", "import_record", record.import_, _import, "2.0"),
    Case(
        "export backup",
        "export_record",
        record.export,
        functools.partial(_on_kept, status="available"),
        "2.0",
        call=True,
    ),
)
