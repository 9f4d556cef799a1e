# SPDX-License-Identifier: Apache-2.0
"""The service under attack, its environment, and the remains afterwards."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kombu
import oslo_messaging
import sqlalchemy as sa
from oslo_config import cfg

from drivers.encryption.luks_header import MAGIC
from drivers.export import qemu
from drivers.interface.errors import ImageNotFound
from drivers.volume.files import Directory
from tests.faults.kill import entries
from tests.faults.kill.cases.located_images import LocatedImages
from tests.faults.kill.cases.rows import BACKEND, HOST, NODE, Rows
from tests.faults.kill.plan import Plan
from tests.functional.cloud import encoded
from tests.functional.service import Service
from tests.servers import Servers, until
from tests.servers.keys.vault import Vault
from worker.backends.directory_mark import MARKER
from worker.db import models, sync
from worker.db.database import Database
from worker.db.records import Records
from worker.rpc import transport

GIB = 1024**3
CONNECTOR = {"host": "compute", "ip": "127.0.0.1", "initiator": "iqn.2005-03.org.kill:1"}
_ENDED = ("SUCCESS", "REVERTED", "FAILURE")
_CALL_TIMEOUT = 30.0
_CONSUMES = 60.0  # seconds until a service is back on the bus, on a busy machine
_UNHEARD = 10.0  # a call that waits longer in the queue than its caller is dropped there
_SCRATCH = ("volumes", "snapshots", "volume_attachment", "quota_usages", "reservations")
_SCRATCH += ("workers", "messages", "volume_admin_metadata", "volume_metadata")
_SCRATCH += ("volume_glance_metadata", "backups")
_FOLDERS = ("plans", "passed", "stopped", "released", "chosen", "journal", "commits", "lost")
_OF_A_LIFE = ("stopped", "passed", "released")  # of one process
BUS = {
    # A restart of the broker keeps queues; a silent connection is soon given up.
    "oslo_messaging_rabbit": {"amqp_durable_queues": True, "heartbeat_timeout_threshold": 2}
}
_GRACE = 1  # second that a stop in order gives operations
_GROUPS = ("groups", "group_snapshots", "consistencygroups", "cgsnapshots")


class World(Rows):
    """RabbitMQ, MariaDB, a directory of volumes, and a victim between them.

    :param forked: start the victim by a fork of a process that has its modules, without imports.
    """

    module = "tests.faults.kill.victim"
    driver = "tests.faults.kill.victim.Driver"
    queue = f"cinder-volume.{HOST}.{NODE}"
    """Where the victim's messages wait."""

    target = oslo_messaging.Target(exchange="openstack", topic=f"cinder-volume.{HOST}", server=NODE)

    def __init__(self, servers: Servers, folder: Path, *, forked: bool = False) -> None:
        self.forked = forked
        self.points = folder / "points"
        self.volumes = folder / "v"  # short: it is part of a socket's path
        self._broker, self._folder = servers.broker, folder
        self.bus, url = servers.broker.vhost(), servers.mariadb.database()
        self.database_url = url
        self.database = Database(url, max_pool_size=20)
        sync.sync(self.database)
        self.records = Records(self.database)
        self.vault = Vault()
        os.environ["HOLDFAST_POINTS"] = str(self.points)
        for name in _FOLDERS:
            (self.points / name).mkdir(parents=True)
        self.service = Service(
            folder / "s",
            bus=self.bus,
            database=url,
            module=self.module,
            backends={BACKEND: self.backend(self.driver)},
            sections=self.sections(folder),
            forked=forked,
        )
        self._transport = oslo_messaging.get_rpc_transport(_durable(), url=self.bus)
        self._client = oslo_messaging.get_rpc_client(
            self._transport, self.target, timeout=_CALL_TIMEOUT
        )
        self._scheduled: set[str] = set()
        self._ended_before = 0
        self._hear_the_scheduler()

    def backend(self, driver: str) -> dict[str, Any]:
        """Return the options of the backend."""
        return {
            "volume_driver": driver,
            "volume_backend_name": BACKEND,
            "local_path": self.volumes,
            "local_export": "nbd",
            "image_upload_use_cinder_backend": True,
        }

    def sections(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Return further options of the victim."""
        return {
            "DEFAULT": {
                "debug": False,
                "executor_thread_pool_size": 900,
                "graceful_shutdown_timeout": _GRACE,
                "image_service": "tests.faults.kill.cases.located_images.LocatedImages",
                "allowed_direct_url_schemes": "cinder",
            },
            "database": {"max_pool_size": 50},
            **self.vault.options,
            **BUS,
        }

    @functools.cached_property
    def files(self) -> Directory:
        """The backend's directory; the service makes it."""
        return Directory(self.volumes)

    # -- the service ---------------------------------------------------------------

    def start(self) -> None:
        """Start the victim and wait until it serves."""
        self.service.start()
        self._index_journal()

    def launch(self) -> None:
        """Start the victim and do not wait for it."""
        self.service.launch()

    def standby(self) -> Service:
        """Return a second service with the configuration of the victim, not started yet."""
        folder = self._folder / "standby"
        shutil.rmtree(folder, ignore_errors=True)
        made = Service(
            folder,
            bus=self.bus,
            database=self.database_url,
            module=self.module,
            forked=self.forked,
        )
        made.config.write_text(self.service.config.read_text())
        return made

    def kill(self, family: bool) -> None:
        """Kill the victim, alone or with every process of its family and its exports."""
        process = self.service.process
        assert process is not None
        if not family:
            os.kill(process.pid, signal.SIGKILL)
        process.kill()
        if family:
            self.kill_exports()
        self.after_end()

    def after_end(self) -> None:
        """Forget what belonged to the victim's last process."""
        self.service.close()
        for folder in _OF_A_LIFE:
            shutil.rmtree(self.points / folder)
            (self.points / folder).mkdir()

    def stop_broker(self) -> None:
        """Stop the broker in order; its queues stay."""
        self._amqp.release()
        self._broker.stop()

    def start_broker(self) -> None:
        """Start the broker again."""
        self._broker.start()
        self._hear_the_scheduler()

    def consumers(self) -> int:
        """Return how many consumers the service's queue has."""
        with self._amqp.channel() as channel:
            return int(channel.queue_declare(self.queue, passive=True).consumer_count)

    def wait_until_it_consumes(self) -> None:
        """Wait for the consumer of the service's queue."""
        until(self.consumers, _CONSUMES, "the service to consume")

    def kill_exports(self) -> None:
        """Kill the servers of the volumes' exports."""
        for path in (self.volumes / ".exports").glob("*.pid"):
            if (server := qemu.find(path)) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(server.pid, signal.SIGKILL)

    def close(self) -> None:
        """End everything that was started here."""
        self.service.close()
        if self.volumes.exists():
            self.kill_exports()
        self._amqp.release()
        self._transport.cleanup()
        self.database.dispose()
        self.vault.close()

    # -- the API's work ----------------------------------------------------------

    def make(self, name: str, gib: int) -> None:
        """Put a file on the backend."""
        self.files.create(name, gib * GIB)

    def image(self, disk_format: str, *, data: bool = True, **more: Any) -> dict[str, Any]:
        """Make an image of a small disk."""
        disk = b"an image's data".ljust(1 << 16, b"\0")
        if disk_format == "qcow2" and data:
            disk = self._qcow2(disk)
        known = {"disk_format": disk_format, "name": "linux", **more}
        return dict(self.images.create(None, known, iter([disk]) if data else None))

    @functools.cache  # noqa: B019 - as long as the campaign
    def _qcow2(self, disk: bytes) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            raw, made = Path(folder, "raw"), Path(folder, "qcow2")
            raw.write_bytes(disk)
            command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(made)]
            subprocess.run(command, check=True)
            return made.read_bytes()

    @functools.cached_property
    def images(self) -> LocatedImages:
        """The images of the service."""
        directory = self.service.directory / "state" / "images"
        return LocatedImages(SimpleNamespace(image_directory=str(directory)))

    def cast(self, project: str, method: str, version: str, args: dict[str, Any]) -> None:
        """Send a cast."""
        self._client.prepare(version=version).cast(_request(project), method, **encoded(args))

    def call(self, project: str, method: str, version: str, args: dict[str, Any]) -> Any:
        """Send a call and return its answer."""
        prepared = self._client.prepare(version=version)
        return prepared.call(_request(project), method, **encoded(args))

    def ask(self, project: str, method: str, version: str, args: dict[str, Any]) -> None:
        """Send a call without a waiting caller, as if the caller was killed as well."""

        def work() -> None:
            prepared = self._client.prepare(version=version, timeout=_UNHEARD)
            with contextlib.suppress(Exception):
                prepared.call(_request(project), method, **encoded(args))

        threading.Thread(target=work, daemon=True).start()

    # -- points --------------------------------------------------------------------

    def plan(self, resource: str, plan: Plan) -> None:
        """Write the plan for the operation on a resource."""
        plan.save(self.points / "plans" / resource)

    def choose(self, resource: str) -> None:
        """Have the operation on a resource be one of the chosen."""
        (self.points / "chosen" / resource).touch()

    def passed(self, resource: str) -> list[str]:
        """Return the points that an operation has passed since the last kill."""
        path = self.points / "passed" / resource
        return path.read_text().splitlines() if path.exists() else []

    def commits(self, resource: str) -> list[str]:
        """Return the commits that an operation has begun."""
        path = self.points / "commits" / resource
        return path.read_text().splitlines() if path.exists() else []

    def lost_commits(self) -> set[str]:
        """Return the resources of operations that have lost the answer of a commit."""
        return {path.name for path in (self.points / "lost").iterdir()}

    def release(self, resource: str) -> None:
        """Have an operation go on from the point at which it stands."""
        (self.points / "released" / resource).touch()

    def stopped(self) -> dict[str, str]:
        """Return who stands at which point."""
        folder = self.points / "stopped"
        return {path.name: path.read_text() for path in folder.iterdir()}

    @property
    def journal_path(self) -> Path:
        """The journal's file."""
        return self.service.directory / "state" / "journal.sqlite"

    def states(self, resource: str) -> list[str]:
        """Return the states that the journal's entry of an operation has had, in order."""
        path = self.points / "journal" / resource
        lines = path.read_text().splitlines() if path.exists() else []
        return list(dict.fromkeys(lines))

    def journal(self) -> dict[str, list[str]]:
        """Return the states of the flows of each resource, since the last :meth:`clear`."""
        found: dict[str, list[str]] = {}
        for state, meta in self._read_journal("state, meta"):
            found.setdefault(_resource_in(meta), []).append(state)
        return found

    def interruptions(self) -> dict[str, int]:
        """Return how often the flows of each resource were interrupted."""
        found: dict[str, int] = {}
        for (meta,) in self._read_journal("meta"):
            resource = _resource_in(meta)
            found[resource] = found.get(resource, 0) + int(json.loads(meta).get("resumes", 0))
        return found

    def _read_journal(self, columns: str) -> list[tuple[Any, ...]]:
        opened = sqlite3.connect(f"file:{self.journal_path}?mode=ro", uri=True, timeout=30)
        with contextlib.closing(opened) as db:
            query = f"SELECT {columns} FROM flowdetails WHERE rowid > ?"  # noqa: S608
            return db.execute(query, [self._ended_before]).fetchall()

    def _index_journal(self) -> None:
        """Have the victim find the entries of a resource soon, however many there are."""
        with contextlib.closing(sqlite3.connect(self.journal_path, timeout=30)) as db, db:
            db.execute(f"CREATE INDEX IF NOT EXISTS campaign ON flowdetails ({entries.RESOURCE})")

    def ended(self) -> set[str]:
        """Return the resources all of whose flows have ended."""
        return {r for r, found in self.journal().items() if set(found) <= set(_ENDED)}

    def waiting(self) -> int:
        """Return how many messages are in the service's queue."""
        with self._amqp.channel() as channel:
            return int(channel.queue_declare(self.queue, passive=True).message_count)

    # -- remains -------------------------------------------------------------------

    def facts(self, project: str, roles: dict[str, str]) -> dict[str, Any]:
        """Return a project's rows and objects, each id replaced by the name of its role."""
        with self.database.reader() as connection:

            def rows(table: Any, *where: Any) -> list[Any]:
                return list(connection.execute(sa.select(table).where(*where)))

            volumes = rows(models.volumes, models.volumes.c.project_id == project)
            snapshots = rows(models.snapshots, models.snapshots.c.project_id == project)
            tables = {name.removesuffix("s"): getattr(models, name) for name in _GROUPS}
            groups = {k: rows(table, table.c.project_id == project) for k, table in tables.items()}
            ids = [row.id for row in (*volumes, *snapshots)]
            attachments = rows(
                models.volume_attachment, models.volume_attachment.c.volume_id.in_(ids)
            )
            usages = rows(models.quota_usages, models.quota_usages.c.project_id == project)
            glance = rows(
                models.volume_glance_metadata,
                models.volume_glance_metadata.c.volume_id.in_(ids),
                models.volume_glance_metadata.c.deleted == sa.false(),
            )
            held = rows(
                models.reservations,
                models.reservations.c.project_id == project,
                models.reservations.c.deleted == sa.false(),
            )
            work = rows(models.workers, models.workers.c.resource_id.in_(ids))
            told = rows(models.messages, models.messages.c.project_id == project)
            backups = rows(models.backups, models.backups.c.project_id == project)
        roles = _with_own(roles, volumes, snapshots)
        found: dict[str, Any] = {
            "quota": {u.resource: u.in_use for u in usages},
            "reserved": sum(u.reserved for u in usages) + len(held),
            "work": sorted(_named(row.resource_id, roles) for row in work),
            "messages": sorted({row.event_id for row in told}),
            "scheduled": sorted(_named(one, roles) for one in self._scheduled & set(ids)),
            "image metadata": sorted({_named(row.volume_id, roles) for row in glance}),
            "image": self._image_status(roles["image"]) if "image" in roles else None,
            "files": self._files(roles, ids, {a.volume_id for a in attachments if not a.deleted}),
            **_replication([*volumes, *groups["group"]], roles),
            **self.more_facts(roles),
        }
        for kind, of_kind in groups.items():
            for row in of_kind:
                found[f"{kind} {_named(row.id, roles)}"] = "deleted" if row.deleted else row.status
        for row in backups:
            temporary = [_named(i, roles) for i in (row.temp_volume_id, row.temp_snapshot_id) if i]
            told_of = (row.status, row.num_dependent_backups, bool(row.fail_reason), temporary)
            found[f"backup {_named(row.id, roles)}"] = "deleted" if row.deleted else told_of
        for row in volumes:
            group = _named(row.group_id or row.consistencygroup_id or "", roles)
            told_of = (row.status, row.size, row.attach_status, bool(row.host), group)
            told_of = (*told_of, *_migration_of(row), self._key_state(row))
            found[f"volume {_named(row.id, roles)}"] = "deleted" if row.deleted else told_of
        for row in snapshots:
            found[f"snapshot {_named(row.id, roles)}"] = "deleted" if row.deleted else row.status
        for row in attachments:
            state = (row.attach_status, row.attach_mode, bool(row.connection_info))
            found[f"attachment {_named(row.id, roles)}"] = "deleted" if row.deleted else state
        # Temporary objects that a flow has removed have no role.
        return {k: v for k, v in found.items() if not (v == "deleted" and k.endswith(" ?"))}

    def more_facts(self, roles: dict[str, str]) -> dict[str, Any]:
        """Return the other remains."""
        return {}

    def key(self) -> str:
        """Make a key; all that are made so have the same bytes."""
        key_id = uuid.uuid4().hex
        known = {"type": "symmetric", "algorithm": "aes", "bit_length": 256, "name": None}
        self.vault.secrets[key_id] = {**known, "value": "5e" * 32, "created": 0}
        return key_id

    def _key_state(self, row: Any) -> str:
        """Return whether the key of a volume is there, and opens its data."""
        if not row.encryption_key_id:
            return "no key"
        if row.encryption_key_id not in self.vault.secrets:
            return "a dead key"
        path = self.volumes / f"volume-{row.id}"
        with path.open("rb") if path.exists() else io.BytesIO() as file:
            if file.read(len(MAGIC)) != MAGIC:
                return "a key, no header"
        secret = self.vault.secrets[row.encryption_key_id]["value"]
        command = ["cryptsetup", "open", "--test-passphrase", "--key-file=-", str(path)]
        opened = subprocess.run(command, input=secret.encode(), capture_output=True, check=False)
        return "its own key" if opened.returncode == 0 else "another's key"

    def _image_status(self, image_id: str) -> str:
        try:
            return str(self.images.show(None, image_id)["status"])
        except ImageNotFound:
            return "deleted"

    def strays(self, known: set[str]) -> list[str]:
        """Return files of the backend that belong to none of these ids."""
        names = [path.name for path in self._present()]
        rows = (*self.records.volumes.list(), *self.records.snapshots.list())
        known = known | {row.id for row in rows if _is_temporary(row) or _is_copy(row)}
        known |= {row.id for row in rows if _keeps_image(row)}
        known |= {row._name_id for row in rows if row.get("_name_id")}
        return sorted(name for name in names if not any(one in name for one in known))

    def written_by_users(self, roles: dict[str, str]) -> list[Path]:
        """Return the files of the backend to which users of these resources write."""
        return [
            path
            for path in self._present()
            if path.parent == self.volumes and any(one in path.name for one in roles.values())
        ]

    def clear(self) -> None:
        """Forget all operations: rows, files, exports and plans."""
        self.kill_exports()
        for path in self._present():
            path.unlink(missing_ok=True)
        with self.database.writer() as connection:
            connection.execute(sa.text("SET FOREIGN_KEY_CHECKS=0"))
            for table in (*_SCRATCH, *_GROUPS):
                connection.execute(sa.text(f"DELETE FROM `{table}`"))
            connection.execute(sa.text("SET FOREIGN_KEY_CHECKS=1"))
        for folder in _FOLDERS:
            shutil.rmtree(self.points / folder)
            (self.points / folder).mkdir()
        self._scheduled.clear()
        if self.journal_path.exists():
            newest = [row for (row,) in self._read_journal("max(rowid)") if row]
            self._ended_before = max([self._ended_before, *newest])

    def _present(self) -> list[Path]:
        """Return the backend's files without its marker and the locks."""
        aside = self.service.directory / "state" / "conversion"
        every = [*self.volumes.rglob("*"), *aside.glob("*")]
        found = [p for p in every if p.is_file() or p.is_socket()]
        kept = ("lock.", ".lock", MARKER)
        return [path for path in found if not path.name.startswith(kept)]

    def _files(self, roles: dict[str, str], ids: list[str], attached: set[str]) -> list[str]:
        found = []
        for path in self._present():
            if not any(one in path.name for one in ids):
                continue
            name = path.name
            for one in ids:
                name = name.replace(one, _named(one, roles))
            if path.suffix == ".json":
                users = json.loads(path.read_text())["users"]
                up = qemu.find(path.with_suffix(".pid")) is not None
                if not any(one in path.name for one in attached):
                    # A volume without an attachment is not exported again after a kill.
                    found.append(f"{name} for {','.join(users)}")
                elif users:  # not exported yet: a start exports attached volumes
                    found.append(f"{name} for {','.join(users)}, {'' if up else 'not '}served")
            elif path.suffix not in (".pid", ".sock"):
                found.append(f"{name}: {path.stat().st_size / GIB:g} GiB{_data_in(path)}")
        return sorted(found)

    def hear(self) -> None:
        """Take the messages for the scheduler."""
        with contextlib.suppress(TimeoutError):
            while True:
                self._amqp.drain_events(timeout=0.2)

    def _hear_the_scheduler(self) -> None:
        self._amqp = kombu.Connection(self.bus.replace("rabbit://", "amqp://"))
        exchange = kombu.Exchange("openstack", "topic", durable=True)
        queue = kombu.Queue("cinder-scheduler", exchange, "cinder-scheduler", durable=True)

        def heard(message: Any) -> None:
            sent = json.loads(json.loads(message.body)["oslo.message"])
            if sent["method"] == "create_volume":
                self._scheduled.add(sent["args"]["volume"]["versioned_object.data"]["id"])
            message.ack()

        consumer = kombu.Consumer(self._amqp, [queue], on_message=heard)
        consumer.consume()


def _durable() -> cfg.ConfigOpts:
    """Return the configuration of a client whose messages outlive the broker."""
    conf = cfg.ConfigOpts()
    conf([], project="campaign", default_config_files=[], default_config_dirs=[])
    transport.register_opts(conf)
    conf.set_override("amqp_durable_queues", True, group="oslo_messaging_rabbit")
    return conf


def _resource_in(meta: str) -> str:
    return str((json.loads(meta).get("resource") or ["", ""])[1])


def _request(project: str) -> dict[str, Any]:
    return {
        "user_id": "u" * 32,
        "project_id": project,
        "is_admin": False,
        "roles": ["member"],
        "request_id": f"req-{uuid.uuid4()}",
    }


def _data_in(path: Path) -> str:
    """Return the text with which a file begins."""
    with path.open("rb") as file:
        begin = file.read(40).rstrip(b"\0")
    return f" of {begin!r}" if begin else ""


def _is_temporary(row: Any) -> bool:
    """Check for a temporary source of a backup; the backup service removes it."""
    return not row.deleted and str(row.display_name).startswith("backup-")


def _replication(rows: list[Any], roles: dict[str, str]) -> dict[str, str]:
    """Return the replication status of volumes and groups that have one."""
    live = [row for row in rows if row.replication_status and not row.deleted]
    return {f"replication of {_named(row.id, roles)}": row.replication_status for row in live}


def _with_own(roles: dict[str, str], volumes: list[Any], snapshots: list[Any]) -> dict[str, str]:
    """Return names for ids, those of rows that operations have made as well."""
    for row in filter(_is_temporary, (*volumes, *snapshots)):
        roles = {**roles, "temporary": row.id}
    for name, check in (("copy", _is_copy), ("clone", _keeps_image)):
        for row in filter(check, volumes):
            roles = {name: row.id, **roles}
    return roles


def _keeps_image(row: Any) -> bool:
    return str(row.display_name).startswith("image-") and not row.deleted


def _is_copy(row: Any) -> bool:
    """Say whether a volume's row is that of a migration's destination."""
    made_here = not row.deleted and not row.use_quota and not _is_temporary(row)
    return made_here and hasattr(row, "migration_status")


def _migration_of(row: Any) -> tuple[str, bool] | tuple[()]:
    """Return the end of a volume's migration, and whether the volume stayed."""
    if not row.migration_status:
        return ()
    return row.migration_status.partition(":")[0], row.host == f"{HOST}#{BACKEND}"


def _named(one: str, roles: dict[str, str]) -> str:
    return next((role for role, known in roles.items() if known == one), "?")
