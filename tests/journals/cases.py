# SPDX-License-Identifier: Apache-2.0
"""The operations of which journals are kept: those of the kill campaign, and some more.

The campaign has a case for each RPC method. Here are those on a whole backend, and those
of flows that a method starts only sometimes.
"""

from __future__ import annotations

import contextlib
import functools
import uuid
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.context import ImageCacheOptions, Options
from flows.errors import RunInterrupted
from flows.host import cleanup, failover, freeze
from flows.volume import create_from_backup, revert
from flows.volume.image_cache import create as create_from_cache
from flows.volume.migration import complete, migrate, retype
from tests import messages
from tests.dispatchers import volume_dispatcher
from tests.faults.kill import backup_world
from tests.faults.kill.cases import every_case as campaign
from tests.faults.kill.cases import moves
from tests.faults.kill.cases.case import Asked, Case
from tests.faults.kill.cases.rows import Rows
from tests.faults.kill.world import GIB
from tests.functional.cloud import encoded
from tests.journals.doubles import info_of
from tests.journals.service import Service
from worker.db import models


class CaseWorld(Rows):
    """A service, as the campaign's cases know the world before an operation."""

    def __init__(self, service: Service) -> None:
        self.service, self.records = service, service.records
        self.host = service.host if service.kind == "volume" else f"h1@{service.host}"
        self.node = service.host if service.kind == "backup" else service.node
        self.database, self.volumes = service.databases.database, service.databases.volumes
        self.files = self

    def make(self, name: str, gib: int) -> None:
        """Put an object on the backend; a snapshot's name has its volume's before it."""
        self.create(name.rpartition("@")[2], gib * GIB)

    def key(self) -> str:
        """Return the id of a key."""
        return str(uuid.uuid4())

    def create(self, name: str, size: int) -> None:
        """Put an object on the backend."""
        self.service.driver.objects.add(name)
        info_of(self.volumes, Record("object", {"name": name}))

    def image(self, disk_format: str, *, data: bool = True, **more: Any) -> dict[str, Any]:
        """Make an image, or one that has no data yet."""
        known = self.service.images.service.images
        image_id = f"i{len(known) + 1}"
        status = "active" if data else "queued"
        known[image_id] = {**known["i1"], "id": image_id, "status": status, "checksum": "def"}
        known[image_id] |= {"disk_format": disk_format, **more}
        return dict(known[image_id])

    def choose(self, resource: str) -> None:
        """Have volumes in use backed up by a snapshot."""
        self.service.driver.backs_up_by_snapshot = True

    def call(self, project: str, method: str, version: str, args: dict[str, Any]) -> Any:
        """Have a call answered."""
        message = {"method": method, "version": version, "args": encoded(args)}
        message["_unique_id"] = uuid.uuid4().hex
        return messages.call(self.service.intake, message, self._request())

    def send(self, case: Case, asked: Asked, unique: str) -> None:
        """Send the message of a case, and wait for the answer of a call."""
        message = {"method": case.method, "version": case.version, "args": encoded(asked.args)}
        message["_unique_id"] = unique
        if not case.call:
            messages.cast(self.service.intake, message, self._request())
            return
        with contextlib.suppress(RunInterrupted, Exception):
            messages.call(self.service.intake, message, self._request())

    def _request(self) -> dict[str, Any]:
        project = self.service.project
        return {"user_id": "u", "project_id": project, "request_id": f"req-{uuid.uuid4()}"}

    def filled(self, project: str, status: str, **more: Any) -> Record:
        """Make a volume; its data does not matter here."""
        return self.volume(project, status, **more)

    def kept(self, project: str, volume: Record, status: str, **more: Any) -> Record:
        """Make a backup that is in the store."""
        place = {"service": "vault", "container": "vault", "service_metadata": "kept"}
        backup = self.backup(volume, status, **place, **more)
        self.service.store.objects.add(f"backup-{backup.id}")
        return backup


def _on(record: Record, **args: Any) -> Asked:
    return Asked(record.project_id, record.id, args)


def _from_backup(world: CaseWorld, project: str) -> Asked:
    source = world.volume(project)
    backup = world.backup(source, "available", service="vault", container="vault")
    volume = world.volume(project, "creating", made=False)
    spec = {"backup_id": backup.id, "volume_properties": {"size": 1}}
    return _on(volume, volume=volume, request_spec=spec)


def _from_cache(world: CaseWorld, project: str) -> Asked:
    """Have a volume of an image made while the cache has one."""
    service = world.service
    service.intake._dispatcher = volume_dispatcher(service.host, image_cache=True)
    service.options = Options(image_cache=ImageCacheOptions("internal", "internal"))
    source, image = world.volume("internal"), world.image("raw")
    world.records.image_cache.add(source.id, image["id"], None)
    volume = world.volume(project, "creating", made=False)
    spec = {"image_id": image["id"], "volume_properties": {"size": 1}}
    return _on(volume, volume=volume, request_spec=spec)


def _revert_by_copy(world: CaseWorld, project: str) -> Asked:
    world.service.driver.missing.add("revert_to_snapshot")
    asked: Asked = campaign._revert(world, project)  # type: ignore[arg-type]
    return asked


def _elsewhere(world: CaseWorld) -> dict[str, Any]:
    """Return another backend, with a service that has it."""
    row = {"host": "h1@elsewhere", "binary": "cinder-volume", "topic": "cinder-volume"}
    row |= {"availability_zone": "nova", "rpc_version": "3.20", "object_version": "1.39"}
    world.records.services.ensure(**row)
    return {"host": "h1@elsewhere#pool", "cluster_name": None, "capabilities": {}}


def _migrate(world: CaseWorld, project: str) -> Asked:
    before = {"migration_status": "starting", "previous_status": "available"}
    volume = world.volume(project, "maintenance", **before)
    return _on(volume, volume=volume, host=_elsewhere(world), force_host_copy=True)


def _retype(world: CaseWorld, project: str) -> Asked:
    world.service.driver.missing |= {"retype", "migrate_volume"}
    asked: Asked = moves._retype(world, project)  # type: ignore[arg-type]
    asked.args |= {"migration_policy": "on-demand"}
    asked.args["host"] = _elsewhere(world)
    # A volume with snapshots is not moved.
    world.records.snapshots.destroy(asked.roles["snapshot"])
    return asked


def _abandon(world: CaseWorld, project: str) -> Asked:
    asked: Asked = moves._copied(world, project)  # type: ignore[arg-type]
    asked.args["error"] = True
    return asked


def _whole(world: CaseWorld, project: str, **args: Any) -> Asked:
    for status in ("enabled", "enabled", "disabled"):
        volume = world.volume(project, replication_status=status)
        world.snapshot(volume)
    return Asked(project, world.host.partition("@")[2], args)


def _cleanup(world: CaseWorld, project: str) -> Asked:
    for status in ("creating", "downloading", "uploading", "deleting"):
        volume = world.volume(project, status)
        row = {"resource_type": "Volume", "resource_id": volume.id, "status": status}
        row |= {"service_id": world.service.row.id, "race_preventer": 0, "deleted": False}
        row |= {"created_at": volume.created_at, "updated_at": volume.created_at}
        with world.database.writer() as connection:
            connection.execute(sa.insert(models.workers).values(**row))
    asked = {"service_id": None, "resource_type": None, "resource_id": None, "until": None}
    return Asked(project, world.host.partition("@")[2], {"cleanup_request": asked})


_MORE: tuple[Any, ...] = (
    ("create from backup", "create_volume", create_from_backup.flow, _from_backup, "3.0"),
    ("create from the cache", "create_volume", create_from_cache.flow, _from_cache, "3.0"),
    ("revert by copy", "revert_to_snapshot", revert.flow, _revert_by_copy, "3.15"),
    ("migrate elsewhere", "migrate_volume", migrate.flow, _migrate, "3.5"),
    ("retype by migration", "retype", retype.flow, _retype, "3.5"),
    (
        "give a migration up",
        "migrate_volume_completion",
        complete.abandonment,
        _abandon,
        "3.0",
    ),
    ("freeze", "freeze_host", freeze.freeze, _whole, "3.0"),
    ("thaw", "thaw_host", freeze.thaw, _whole, "3.0"),
    (
        "fail over",
        "failover",
        failover.flow,
        functools.partial(_whole, secondary_backend_id="second"),
        "3.8",
    ),
    (
        "fail back",
        "failover",
        failover.flow,
        functools.partial(_whole, secondary_backend_id="default"),
        "3.8",
    ),
    ("clean up", "do_cleanup", cleanup.flow, _cleanup, "3.7"),
)

CASES: tuple[tuple[str, Case], ...] = (
    *(("volume", case) for case in campaign.CASES),
    *(("volume", Case(*one)) for one in _MORE),
    *(("backup", case) for case in backup_world.CASES),
)
"""Each with the service that runs it."""
