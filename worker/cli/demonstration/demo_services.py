# SPDX-License-Identifier: Apache-2.0
"""Both services in this process, with their bus in memory, and an observer of their flows."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from worker.compat import native_threads  # noqa: F401  before anything of oslo

import sqlalchemy as sa  # isort: skip
from oslo_config import cfg  # isort: skip

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.image import ImageService
from drivers.interface.records import Record
from drivers.interface.volume import Update
from drivers.volume.local import LocalDriver
from flows.errors import NotFound
from flows.statuses import BackupStatus, VolumeStatus
from worker import conf as config
from worker.adapters import image_service
from worker.cli.access import CommandError
from worker.cli.demonstration import lines
from worker.cli.output.colour import Colour
from worker.conf import state_path
from worker.db import models, sync
from worker.db.database import Database
from worker.db.records import Records
from worker.execution.concurrency import Limiter
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.entries.tasks import tasks_of
from worker.journal.journal import ENDED
from worker.rpc import transport
from worker.rpc.clients.backup import BackupClient
from worker.rpc.clients.volume import VolumeClient
from worker.rpc.request_context import RequestContext
from worker.service import backup, volume

NODE = "demo"
POOL = f"{NODE}@local#local"
UNLUCKY = "unlucky"

_CONFIG = """\
[DEFAULT]
host = demo
state_path = {folder}/state
enabled_backends = local
transport_url = kombu+memory://
executor_thread_pool_size = 4
[database]
connection = sqlite:///{folder}/holdfast.sqlite
[journal]
connection = sqlite:///{folder}/journal.sqlite
[coordination]
backend_url = file://{folder}/state
[local]
volume_driver = worker.cli.demonstration.demo_services.DemoDriver
volume_backend_name = local
local_path = {folder}/volumes
local_path_shared = true
local_images = {folder}/state/images
"""

_TIMEOUT = 60.0
"""How long one operation may take before the show is called off, in seconds."""

_POLL = 0.005
_GRACE = 5.0

_RUNNING = ("RUNNING", "REVERTING")
_PROGRESS_EVERY = 2.0
"""Seconds after which an operation that runs gets a line about its progress."""


class DemoDriver(LocalDriver):
    """The local driver, with a failure to show."""

    def create_volume(self, volume: Record) -> Update:
        """Create a volume, unless it is the unlucky one: then fail when it is half done."""
        super().create_volume(volume)
        if volume.display_name == UNLUCKY:
            raise VolumeBackendAPIException("the disk shelf went away (this failure is staged)")
        return None


class DemoServices:
    """Sends operations to the service and prints the tasks of each.

    :param folder: everything is in there.
    :param write: is given the text.
    """

    def __init__(self, folder: Path, write: Callable[[str], Any], colour: Colour) -> None:
        self.folder = folder
        self.count = 0
        self._write, self._colour = write, colour
        conf = _configuration(folder)
        self._watch = _Watch()
        self._database = Database.from_conf(conf)
        sync.sync(self._database)
        self.records = Records.from_conf(conf, self._database)
        self.images: ImageService = image_service.make(conf, Limiter()).service
        self._service = volume.service(conf, "local", observer=self._watch.saw)
        self._service.start()
        self._backups = backup.service(conf, observer=self._watch.saw)
        self._backups.start()
        self.journal = self._service.parts.base.journal
        self._bus = transport.get(conf, prefetch=4)
        self._client = VolumeClient(self._bus, timeout=_TIMEOUT)
        self._backup_client = BackupClient(self._bus, timeout=_TIMEOUT)

    def group_type(self) -> str:
        """Return a group type whose groups are consistent."""
        type_id = str(uuid.uuid5(uuid.NAMESPACE_URL, "consistent"))
        with self._database.writer() as connection:
            found = sa.select(models.group_types.c.id).where(models.group_types.c.id == type_id)
            if connection.scalar(found) is None:
                kind = {"id": type_id, "name": "consistent", "deleted": False}
                connection.execute(sa.insert(models.group_types).values(**kind))
                spec = {"key": "consistent_group_snapshot_enabled", "value": "<is> True"}
                of_type = {"group_type_id": type_id, "deleted": False, **spec}
                connection.execute(sa.insert(models.group_type_specs).values(**of_type))
        return type_id

    def heads(self) -> None:
        """Write the heads of the table."""
        self._write(self._colour(lines.HEADS, "strong") + "\n")

    def say(self, text: str = "") -> None:
        """Write a line to the person who watches."""
        for line in lines.wrapped(text):
            self._write(line + "\n")

    def cast(
        self, method: str, resource: Record, wanted: str, *, alone: bool = False, **args: Any
    ) -> Record:
        """Cast, wait for the end of the flow, and show it.

        :param wanted: the status that it ends in; anything else ends the show.
        :param alone: whether the arguments are all there are, without the resource.
        """
        request = RequestContext.admin()
        self._watch.begin(resource.id)
        began = time.monotonic()
        given = args if alone else {resource.kind: resource, **args}
        self._client.cast(request, POOL, method, **given)
        entry = self._end_of(str(request.request_id), method, resource)
        seconds = time.monotonic() - began
        status = self._status(resource)
        as_wanted = status == wanted
        meaning = "bad" if not as_wanted or status == VolumeStatus.ERROR else "good"
        self._line(method, resource, status, meaning, seconds)
        if entry.failure:
            self.say(f"  failed: {entry.failure}")
        if not as_wanted:
            raise CommandError(f"{method} ended in {status}, not in {wanted}")
        return resource if status == VolumeStatus.DELETED else self._row(resource)

    def cast_backup(
        self, method: str, record: Record, wanted: str, ends_with: str, **args: Any
    ) -> Record:
        """Cast to the backup service, and show how it ends.

        :param ends_with: the last flow of the request: services hand it to one another.
        """
        request = RequestContext.admin()
        self._watch.begin(record.id)
        began = time.monotonic()
        self._backup_client.cast(request, NODE, method, backup=record, **args)
        self._end_of(str(request.request_id), ends_with, record)
        status = self._status(record)
        meaning = "good" if status == wanted else "bad"
        self._line(method, record, status, meaning, time.monotonic() - began)
        if status != wanted:
            raise CommandError(f"{method} ended in {status}, not in {wanted}")
        return record if status == BackupStatus.DELETED else self._row(record)

    def call(self, method: str, resource: Record, /, **args: Any) -> Any:
        """Call, show it, and return its answer."""
        self._watch.begin(resource.id)
        began = time.monotonic()
        answer = self._client.call(RequestContext.admin(), POOL, method, **args)
        self._line(method, resource, "answered", "good", time.monotonic() - began)
        return answer

    def left(self) -> list[str]:
        """Return the names of the objects on the backend."""
        return sorted(path.name for path in (self.folder / "volumes").glob("[!.]*"))

    def close(self) -> None:
        """Stop the services."""
        self._bus.cleanup()
        self._backups.stop(_GRACE)
        self._service.stop(_GRACE)

    def _line(
        self, method: str, resource: Record, status: str, meaning: str, seconds: float
    ) -> None:
        self.count += 1
        first, *others = lines.row(
            method, _name_of(resource), status, seconds, self._watch.summary(resource.id)
        )
        head, found, rest = first.partition(f" {status}")
        painted = f"{head} {self._colour(status, meaning)}{rest}" if found else first
        for line in (painted, *others):
            self._write(line + "\n")

    def _end_of(self, request_id: str, method: str, resource: Record) -> JournalEntry:
        began = shown = time.monotonic()
        while (now := time.monotonic()) < began + _TIMEOUT:
            entries = [
                one for one in self.journal.entries(limit=10) if one.request_id == request_id
            ]
            for entry in entries:
                if entry.method == method and entry.state in ENDED:
                    return entry
            if now > shown + _PROGRESS_EVERY:
                shown = now
                self._show_progress(entries, resource, now - began)
            time.sleep(_POLL)
        raise CommandError(f"{method} has not ended after {_TIMEOUT:.0f} s")

    def _show_progress(
        self, entries: Sequence[JournalEntry], resource: Record, seconds: float
    ) -> None:
        for entry in entries:
            if entry.state in ENDED:
                continue
            running = [one for one in tasks_of(self.journal, entry) if one.state in _RUNNING]
            for task in running[-1:]:
                name, part = _name_of(resource), task.progress
                self.say(lines.progress(entry.method, name, task.name, part, seconds))

    def _status(self, resource: Record) -> str:
        try:
            return str(self._row(resource).status)
        except NotFound:
            return VolumeStatus.DELETED

    def _row(self, resource: Record) -> Record:
        rows = getattr(self.records, f"{resource.kind}s")
        return rows.get(resource.id)  # type: ignore[no-any-return]


class _Watch:
    """Notes when each task of a resource's flow changes its state."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[str, str, float]]] = {}
        self._lock = threading.Lock()

    def begin(self, resource_id: str) -> None:
        """Forget earlier flows of a resource."""
        with self._lock:
            self._seen[resource_id] = []

    def saw(self, detail: Any, task: str, state: str) -> None:
        """Record a change of a task's state, as the engine reports it."""
        with self._lock:
            noted = self._seen.setdefault(detail.meta["resource"][1], [])
            noted.append((task, state, time.monotonic()))

    def summary(self, resource_id: str) -> list[str]:
        """Return the tasks of the flow in the order in which they ended."""
        began: dict[tuple[str, str], float] = {}
        parts = []
        with self._lock:
            seen = list(self._seen[resource_id])
        for task, state, when in seen:
            if state in ("RUNNING", "REVERTING"):
                began[task, state] = when
            elif state == "SUCCESS":
                parts.append(f"{task} {(when - began[task, 'RUNNING']) * 1e3:.0f}")
            elif state == "FAILURE":
                parts.append(f"{task} FAILED")
            elif state == "REVERTED":
                parts.append(f"undo {task} {(when - began[task, 'REVERTING']) * 1e3:.0f}")
        return parts


def _name_of(resource: Record) -> str:
    named = resource.get("display_name") or resource.get("name")
    name = named if resource.kind.startswith("group") else resource.display_name
    return str(name or resource.id[:8])


def _configuration(folder: Path) -> cfg.ConfigOpts:
    """Make a configuration of its own, and see that nothing else got in."""
    place, empty = folder / "holdfast.conf", folder / "conf.d"
    place.write_text(_CONFIG.format(folder=folder))
    empty.mkdir()
    conf = config.load([f"--config-file={place}", f"--config-dir={empty}"], prog="holdfast")
    for url in (conf.database.connection, conf.journal.connection, conf.coordination.backend_url):
        if str(folder) not in url:
            raise CommandError("the environment sets options of Holdfast: unset them for the demo")
    state_path.prepare(conf)
    return conf
