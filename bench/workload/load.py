# SPDX-License-Identifier: Apache-2.0
"""The load of an API and a scheduler: rows in the database, casts on the bus."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import oslo_messaging
import sqlalchemy as sa

from bench.measurements.machine import ROOT, Service
from tests.functional.service import render
from tests.servers import Servers
from worker import conf as config
from worker.db import models, sync
from worker.db.column_values import now
from worker.db.database import Database
from worker.rpc import transport

NODE, BACKEND = "bench", "noop"
HOST = f"{NODE}@{BACKEND}"
_PATIENCE = 75.0  # seconds; more than twice Cinder's time-out of a database connection
_MANY = 1_000_000


@dataclass(frozen=True)
class Operation:
    """The effect of a cast.

    :param sample: which of the messages that came off a real bus it is sent as.
    :param worked: whether the sender writes a row of ``workers`` (spec/volume-rpc §8).
    """

    table: sa.Table
    kind: str
    during: str
    done: str
    sample: int = 0
    worked: bool = True


OPERATIONS = {
    "create_volume": Operation(models.volumes, "Volume", "creating", "available"),
    "delete_volume": Operation(models.volumes, "Volume", "deleting", "deleted", sample=1),
    "create_snapshot": Operation(models.snapshots, "Snapshot", "creating", "available"),
    "delete_snapshot": Operation(models.snapshots, "Snapshot", "deleting", "deleted", worked=False),
}


class Stuck(TimeoutError):
    """Nothing has ended any more for a long time.

    :param since: when the last one ended, by the monotonic clock.
    """

    def __init__(self, text: str, since: float) -> None:
        super().__init__(text)
        self.since = since


class Load:
    """Rows as an API leaves them, and casts as a scheduler sends them.

    :param bus: transport URL.
    :param database: SQLAlchemy URL; the tables are there.
    """

    def __init__(self, bus: str, database: str) -> None:
        self._bus, self._database = bus, database
        self._engine = sa.create_engine(database, isolation_level="AUTOCOMMIT")
        self._samples = {method: Sample.read(method) for method in OPERATIONS}
        self._volume_of: dict[str, str] = {}  # by snapshot
        self._backend_of: dict[str, str] = {}  # by volume, where it is not the first one
        self._fill()
        conf = config.load([], prog="bench", default_config_files=[])
        conf.set_override("transport_url", bus)
        self._client = oslo_messaging.get_rpc_client(
            transport.get(conf, prefetch=1),
            oslo_messaging.Target(topic=f"cinder-volume.{HOST}", server=NODE, version="3.0"),
        )

    def insert(self, count: int, *, status: str, backend: str = BACKEND) -> list[str]:
        """Insert rows of volumes as cinder-api leaves them."""
        row = {
            **self._owned(),
            "status": status,
            "attach_status": "detached",
            "host": f"{NODE}@{backend}#{backend}",
            "size": 1,
            "availability_zone": "nova",
            "bootable": False,
            "multiattach": False,
        }
        ids = [str(uuid.uuid4()) for _ in range(count)]
        if backend != BACKEND:
            self._backend_of |= dict.fromkeys(ids, backend)
        with self._engine.connect() as connection:
            connection.execute(sa.insert(models.volumes), [{**row, "id": i} for i in ids])
        if status == OPERATIONS["create_volume"].during:
            self._offer("create_volume", ids)
        return ids

    def insert_snapshots(self, volume_ids: Sequence[str]) -> list[str]:
        """Insert the row of a snapshot of each volume as cinder-api leaves it."""
        row = {**self._owned(), "status": "creating", "progress": "0%", "volume_size": 1}
        of = {str(uuid.uuid4()): volume_id for volume_id in volume_ids}
        self._volume_of |= of
        rows = [{**row, "id": one, "volume_id": volume_id} for one, volume_id in of.items()]
        with self._engine.connect() as connection:
            connection.execute(sa.insert(models.snapshots), rows)
        self._offer("create_snapshot", list(of))
        return list(of)

    def prepare_delete(self, method: str, ids: Sequence[str]) -> None:
        """Set the status as the API does before it casts."""
        operation = OPERATIONS[method]
        table = operation.table
        change = sa.update(table).where(table.c.id.in_(ids)).values(status=operation.during)
        with self._engine.connect() as connection:
            connection.execute(change)
        if operation.worked:
            self._offer(method, ids)

    def forget(self, ids: Sequence[str]) -> None:
        """Take volumes and their snapshots for deleted, whatever state they are in."""
        work, volumes, snapshots = models.workers, models.volumes, models.snapshots
        theirs = sa.select(snapshots.c.id).where(snapshots.c.volume_id.in_(ids))
        gone = {"deleted": True, "status": "deleted"}
        with self._engine.connect() as connection:
            both = [*ids, *connection.scalars(theirs)]
            connection.execute(sa.delete(work).where(work.c.resource_id.in_(both)))
            for table in (snapshots, volumes):
                connection.execute(sa.update(table).where(table.c.id.in_(both)).values(gone))

    def cast(self, method: str, resource_id: str) -> None:
        """Send the casts of an unmodified scheduler."""
        sample, volume_id = self._samples[method], self.volume_of(resource_id)
        backend = self._backend_of.get(volume_id, BACKEND)
        args = sample.args(resource_id, volume_id, backend)
        client = self._client.prepare(topic=f"cinder-volume.{NODE}@{backend}")
        client.cast(sample.context, method, **args)

    def cast_all(self, method: str, ids: Sequence[str]) -> None:
        """Cast for all and wait until all are done.

        :raises RuntimeError: one has ended as it should not; a fast failure is no speed.
        """
        for resource_id in ids:
            self.cast(method, resource_id)
        self.wait_done(method, ids, every=0.02)
        ended = Counter(self.statuses(method, ids).values())
        if ended != {OPERATIONS[method].done: len(ids)}:
            raise RuntimeError(f"{len(ids)} x {method} on {self._database} ended in {ended}")

    def wait_done(self, method: str, ids: Sequence[str], every: float = 0.002) -> None:
        """Wait until a cast has ended for each resource.

        :raises Stuck: some did not.
        """
        operation = OPERATIONS[method]
        columns = operation.table.c
        left = sa.select(sa.func.count()).where(
            columns.id.in_(ids), columns.status == operation.during
        )
        before, since = len(ids), time.monotonic()
        with self._engine.connect() as connection:
            while count := connection.scalar(left):
                if count != before:
                    before, since = count, time.monotonic()
                elif time.monotonic() - since > _PATIENCE:
                    text = f"{count} of {len(ids)} x {method} have not ended"
                    raise Stuck(f"{text} on {self._database}", since)
                time.sleep(every)

    def statuses(self, method: str, ids: Sequence[str]) -> dict[str, str]:
        """Return the status of each resource."""
        columns = OPERATIONS[method].table.c
        query = sa.select(columns.id, columns.status).where(columns.id.in_(ids))
        with self._engine.connect() as connection:
            return {row.id: row.status for row in connection.execute(query)}

    def volume_of(self, resource_id: str) -> str:
        """Return the volume of a snapshot, or the volume itself."""
        return self._volume_of.get(resource_id, resource_id)

    def _owned(self) -> dict[str, Any]:
        data = self._samples["create_volume"].data
        same = {name: data[name] for name in ("user_id", "project_id", "volume_type_id")}
        return {**same, "use_quota": True, "deleted": False, "created_at": now()}

    def _offer(self, method: str, ids: Sequence[str]) -> None:
        """Write the rows of ``workers`` that announce the operation."""
        # One may still be there: it goes just after the status before this one has come.
        operation, work = OPERATIONS[method], models.workers
        row = {
            "resource_type": operation.kind,
            "status": operation.during,
            "race_preventer": 0,
            "deleted": False,
            "created_at": now(),
            "updated_at": now(),
        }
        with self._engine.connect() as connection:
            connection.execute(sa.delete(work).where(work.c.resource_id.in_(ids)))
            connection.execute(sa.insert(work), [{**row, "resource_id": i} for i in ids])

    def _fill(self) -> None:
        """Insert the rows that precede any volume: its type, and the quota in use."""
        data = self._samples["create_volume"].data
        kind = data["volume_type"]["versioned_object.data"]
        common = {"deleted": False, "created_at": now()}
        row = {**common, "id": kind["id"], "name": kind["name"], "is_public": True}
        usage = {
            **common,
            "project_id": data["project_id"],
            "in_use": _MANY,
            "reserved": 0,
            "race_preventer": True,
        }
        resources = [
            f"{name}{suffix}"
            for name in ("volumes", "gigabytes", "snapshots")
            for suffix in ("", f"_{kind['name']}")
        ]
        with self._engine.connect() as connection:
            connection.execute(sa.insert(models.volume_types), row)
            connection.execute(
                sa.insert(models.volume_type_extra_specs),
                [
                    {**common, "volume_type_id": kind["id"], "key": key, "value": value}
                    for key, value in kind["extra_specs"].items()
                ],
            )
            connection.execute(
                sa.insert(models.quota_usages),
                [{**usage, "resource": resource} for resource in resources],
            )


class Setting(Load):
    """A bus, a database of ours, the messages to send, and the service that takes them.

    :param driver: of the backend.
    :param options: further lines of ``[DEFAULT]``.
    """

    def __init__(
        self,
        folder: Path,
        bus: str,
        database: str,
        driver: str = "noop",
        options: dict[str, Any] | None = None,
    ) -> None:
        self._folder = folder
        self._sections = sections(folder / "state", bus, database, driver, options)
        conf = config.load([], prog="bench", default_config_files=[str(self._write(1))])
        sync.sync(Database.from_conf(conf))
        super().__init__(bus, database)

    @classmethod
    def prepare(cls, servers: Servers, folder: Path, **others: Any) -> Setting:
        """Start the servers and make the tables."""
        (folder / "state").mkdir()
        return cls(folder, servers.broker.vhost(), servers.mariadb.database(), **others)

    @property
    def journal(self) -> Path:
        """The service's journal."""
        return self._folder / "state" / "journal.sqlite"

    def service(self, processes: int, *, wait: bool = True) -> Service:
        """Start the service."""
        log = self._folder / "service.log"
        return Service(self._write(processes), log, processes, wait=wait)

    def _write(self, processes: int) -> Path:
        path = self._folder / f"holdfast-{processes}.conf"
        backend = {**self._sections[BACKEND], "processes": processes}
        path.write_text(render({**self._sections, BACKEND: backend}))
        return path


def sections(
    state: Path,
    bus: str,
    database: str,
    driver: str,
    options: dict[str, Any] | None = None,
    backends: Sequence[str] = (BACKEND,),
) -> dict[str, dict[str, Any]]:
    """Return the configuration of a service, Cinder's or ours."""
    return {
        "DEFAULT": {
            "host": NODE,
            "enabled_backends": ",".join(backends),
            "transport_url": bus,
            "state_path": state,
            **(options or {}),
        },
        "database": {"connection": database},
        **{name: {"volume_driver": driver, "volume_backend_name": name} for name in backends},
    }


@dataclass(frozen=True)
class Sample:
    """A cast as it came off a bus, which is sent again for other resources."""

    context: dict[str, Any]
    text: str
    kind: str
    data: dict[str, Any]

    @classmethod
    def read(cls, method: str) -> Sample:
        operation = OPERATIONS[method]
        path = ROOT / "tests" / "unit" / "rpc" / "wire" / f"cinder-volume.{method}.json"
        message = json.loads(path.read_text())[operation.sample]["envelope"]["oslo.message"]
        prefix = "_context_"
        context = {k.removeprefix(prefix): v for k, v in message.items() if k.startswith(prefix)}
        kind = operation.kind.lower()
        data = message["args"][kind]["versioned_object.data"]
        return cls(context, json.dumps(message["args"]), kind, data)

    def args(self, resource_id: str, volume_id: str, backend: str = BACKEND) -> dict[str, Any]:
        """Return the arguments for another resource."""
        text = self.text.replace(self.data["id"], resource_id)
        if self.kind == "snapshot":
            text = text.replace(self.data["volume_id"], volume_id)
        host = f"{NODE}@{backend}#{backend}"
        args: dict[str, Any] = json.loads(text.replace("peerhost@noop#pool0", host))
        return args
