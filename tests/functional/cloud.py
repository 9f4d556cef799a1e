# SPDX-License-Identifier: Apache-2.0
"""The environment of the service in a test: rows, casts, calls, and their results."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kombu
import oslo_messaging
import sqlalchemy as sa
from oslo_config import cfg

from drivers.image.directory import DirectoryImages
from drivers.interface.records import Record
from flows.errors import NotFound
from tests.functional.service import Service
from tests.scripted.volume_driver import Script
from tests.servers import patient, until
from worker.db import models, sync
from worker.db.database import Database
from worker.db.records import Records
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.journal import Journal
from worker.rpc import objects

NODE, BACKEND = "h1", "b1"
HOST = f"{NODE}@{BACKEND}"
POOL_HOST = f"{HOST}#pool"
PROJECT, USER = "p" * 32, "u" * 32
PATIENCE = 60.0  # a GiB goes to Glance on a machine that does other work

REQUEST = {
    "user_id": USER,
    "project_id": PROJECT,
    "is_admin": False,
    "roles": ["member"],
    "request_id": "req-11111111-2222-3333-4444-555555555555",
    "auth_token": "a-secret-token",
}


class Cloud:
    """A bus, a database, a scripted backend and the service between them."""

    def __init__(
        self,
        make_service: Callable[..., Service],
        bus: str,
        database: str,
        directory: Path,
        backend: Mapping[str, Any] | None = None,
        **sections: Any,
    ) -> None:
        self.database = with_tables(database)
        self.records = Records(self.database)
        self.script = Script(directory / "script")
        scripted: dict[str, Any] = {"volume_driver": "tests.scripted.volume_driver.ScriptedDriver"}
        scripted["script"] = str(self.script.directory)
        scripted["replication_device"] = ["backend_id:second,key:a", "backend_id:third"]
        self.backends = {BACKEND: {"volume_backend_name": BACKEND, **(backend or scripted)}}
        self.service = make_service(
            bus=bus, database=database, backends=self.backends, sections=sections
        )
        self._transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=bus)
        self.bus = bus

    def client(self, version: str = "3.0", timeout: float = 20) -> Any:
        """Return an RPC client that sends as an untouched scheduler does."""
        target = oslo_messaging.Target(
            exchange="openstack", topic=f"cinder-volume.{HOST}", server=NODE, version=version
        )
        return oslo_messaging.get_rpc_client(self._transport, target, timeout=patient(timeout))

    def cast(self, method: str, version: str = "3.0", **args: Any) -> None:
        """Send a cast."""
        self.client(version).cast(dict(REQUEST), method, **encoded(args))

    def cast_of(self, project: str, method: str, **args: Any) -> None:
        """Send a cast of another project."""
        self.client("3.0").cast({**REQUEST, "project_id": project}, method, **encoded(args))

    def call(self, method: str, version: str = "3.0", **args: Any) -> Any:
        """Send a call and return its answer."""
        return self.client(version).call(dict(REQUEST), method, **encoded(args))

    def failure(self, method: str, version: str = "3.0", **args: Any) -> tuple[str, str]:
        """Send a call that fails and return class and text of the caller's error."""
        try:
            answer = self.call(method, version, **args)
        except oslo_messaging.RemoteError as error:
            return error.exc_type, error.value
        raise AssertionError(f"{method} answered {answer!r}")

    def volume(self, status: str = "creating", **columns: Any) -> Record:
        """Insert a volume's row as the API and the scheduler leave it."""
        values = {"size": 1, "host": POOL_HOST, "user_id": USER, "project_id": PROJECT}
        return self.records.volumes.create(**{**values, "status": status, **columns})

    def existing(self, status: str = "available", **columns: Any) -> Record:
        """Insert a volume that is on the backend."""
        volume = self.volume(status, **columns)
        self.script.make(volume.name)
        return volume

    def snapshot(self, volume: Record, status: str = "creating", **columns: Any) -> Record:
        """Insert a snapshot's row as the API leaves it."""
        values = {
            "volume_id": volume.id,
            "volume_size": volume.size,
            "volume_type_id": volume.volume_type_id,
            "user_id": USER,
            "project_id": PROJECT,
        }
        return self.records.snapshots.create(**{**values, "status": status, **columns})

    def existing_snapshot(self, volume: Record, status: str = "available", **more: Any) -> Record:
        """Insert a snapshot that is on the backend."""
        snapshot = self.snapshot(volume, status, **more)
        self.script.make(snapshot.name)
        return snapshot

    def group(self, status: str = "creating", kind: str = "group", **columns: Any) -> Record:
        """Insert a group of the given kind; a generic one has a consistent type."""
        values = {"host": POOL_HOST, "user_id": USER, "project_id": PROJECT, "name": "g"}
        if kind == "group":
            values["group_type_id"] = self.group_type(consistent=True)
        rows = self._rows(kind)
        return rows.create(**{**values, "status": status, **columns})  # type: ignore[no-any-return]

    def group_type(self, *, consistent: bool, **more: str) -> str:
        """Return the id of a group type, which is made the first time.

        :param more: other specs of it.
        """
        name = " ".join(["consistent", str(consistent), *more])
        type_id = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        with self.database.writer() as connection:
            found = connection.execute(
                sa.select(models.group_types).where(models.group_types.c.id == type_id)
            )
            if found.first() is None:
                named = {"id": type_id, "name": name.replace(" ", "-"), "deleted": False}
                connection.execute(sa.insert(models.group_types).values(**named))
                specs = {"consistent_group_snapshot_enabled": f"<is> {consistent}", **more}
                for key, value in specs.items():
                    spec = {"group_type_id": type_id, "key": key, "value": value}
                    connection.execute(
                        sa.insert(models.group_type_specs).values(deleted=False, **spec)
                    )
        return type_id

    def group_snapshot(self, group: Record, status: str = "creating", **columns: Any) -> Record:
        """Insert a snapshot of a group."""
        values = {"user_id": USER, "project_id": PROJECT, "name": "s", "status": status}
        if group.kind == "group":
            more = {"group_id": group.id, "group_type_id": group.group_type_id}
            return self.records.group_snapshots.create(**{**values, **more, **columns})
        more = {"consistencygroup_id": group.id}
        return self.records.cgsnapshots.create(**{**values, **more, **columns})

    @functools.cached_property
    def images(self) -> DirectoryImages:
        """The images of the service."""
        directory = f"{self.service.directory}/state/images"
        return DirectoryImages(SimpleNamespace(image_directory=directory))

    def image(self, data: bytes | None = b"data of an image", **known: Any) -> dict[str, Any]:
        """Make an image, ``active`` where it has data."""
        pieces = None if data is None else iter([data])
        return dict(self.images.create(None, {"name": "linux", **known}, pieces))

    def _rows(self, kind: str) -> Any:
        """Return the records of a kind of resource."""
        return getattr(self.records, f"{kind}s")

    def attachment(self, volume: Record, status: str = "reserved", **columns: Any) -> Record:
        """Insert an attachment."""
        return self.records.attachments.create(volume_id=volume.id, attach_status=status, **columns)

    def status(self, resource: Record) -> str:
        """Return the status of a resource, ``gone`` when its row is deleted."""
        try:
            return str(self._rows(resource.kind).get(resource.id).status)
        except NotFound:
            return "gone"

    def wait_status(self, resource: Record, wanted: str) -> Record | None:
        """Wait for a status and return the row."""
        try:
            until(lambda: self.status(resource) == wanted, PATIENCE, "a status")
        except TimeoutError:
            found = f"{resource.kind} {resource.id} is {self.status(resource)}, not {wanted}"
            raise TimeoutError(f"after {PATIENCE:g} s {found}") from None
        if wanted == "gone":
            return None
        return self._rows(resource.kind).get(resource.id)  # type: ignore[no-any-return]

    def journal(self) -> Journal:
        """Open the service's journal."""
        return Journal(f"sqlite:///{self.service.directory}/state/journal.sqlite")

    def entries(self, *, rejected: bool = False) -> list[JournalEntry]:
        """Return the entries of the journal."""
        try:
            return self._reader.entries(rejected=rejected)
        finally:
            self._reader.close()

    @functools.cached_property
    def _reader(self) -> Journal:
        """The journal for :meth:`entries`; to make its statements takes 17 ms of CPU time."""
        return self.journal()

    def wait_refused(self, resource: Record) -> str:
        """Wait until an operation on a resource has failed, and return its error."""

        def found() -> list[str]:
            entries = [one for one in self.entries() if resource.id in one.resource]
            return [one.failure for one in entries if one.state == "REVERTED" and one.failure]

        until(found, PATIENCE, "an operation to fail")
        return found()[0]

    def wait_idle(self) -> None:
        """Wait until every accepted cast has ended."""
        ended = ("SUCCESS", "REVERTED", "FAILURE")
        until(
            lambda: all(entry.state in ended for entry in self.entries()),
            PATIENCE,
            "all flows to end",
        )

    def publish_raw(self, body: bytes, *, content_type: str = "application/json") -> None:
        """Put bytes into the backend's queue that no client would send."""
        with kombu.Connection(self.bus.replace("rabbit://", "amqp://")) as connection:
            producer = connection.Producer()
            producer.publish(
                body,
                exchange=kombu.Exchange("openstack", "topic", durable=False),
                routing_key=f"cinder-volume.{HOST}.{NODE}",
                content_type=content_type,
                content_encoding="utf-8",
            )

    def close(self) -> None:
        """Drop the connections."""
        self._transport.cleanup()
        self.database.dispose()


def with_tables(url: str) -> Database:
    """Open an empty database and make its tables; those of SQLite are copied as a file."""
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not path.exists():
        path.write_bytes(_tables())
        return Database(url)
    database = Database(url)
    sync.sync(database)
    return database


@functools.cache
def _tables() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "template.sqlite"
        database = Database(f"sqlite:///{path}")
        sync.sync(database)
        database.dispose()
        return path.read_bytes()


def encoded(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with their records as objects."""
    made = {
        "volume": objects.volume,
        "snapshot": objects.snapshot,
        "group": objects.group,
        "consistencygroup": objects.group,
        "group_snapshot": objects.group_snapshot,
        "cgsnapshot": objects.group_snapshot,
        "backup": objects.backup,
    }
    return {
        name: made[value.kind](value) if isinstance(value, Record) else value
        for name, value in args.items()
    }


def envelope(method: str, **message: Any) -> bytes:
    """Return a message as it stands on the wire, with whatever is wrong in it."""
    inner = {
        "method": method,
        "args": {},
        "version": "3.0",
        "_unique_id": uuid.uuid4().hex,
        **{f"_context_{key}": value for key, value in REQUEST.items()},
        **message,
    }
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(inner)}).encode()


@contextlib.contextmanager
def heard(cloud: Cloud) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Listen as a scheduler does, to the fanout."""
    received: list[dict[str, Any]] = []
    exchange = kombu.Exchange("cinder-scheduler_fanout", "fanout", durable=False, auto_delete=True)
    queue = kombu.Queue("", exchange, exclusive=True, auto_delete=True, durable=False)
    with kombu.Connection(cloud.bus.replace("rabbit://", "amqp://")) as connection:
        listener = connection.SimpleQueue(queue)

        def reports() -> list[dict[str, Any]]:
            with contextlib.suppress(listener.Empty):
                while True:
                    message = listener.get(timeout=0.1)
                    message.ack()
                    received.append(json.loads(message.payload["oslo.message"]))
            return received

        yield reports
        listener.close()
