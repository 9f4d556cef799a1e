# SPDX-License-Identifier: Apache-2.0
"""holdfast demo: the main job on embedded defaults, step by step, before your eyes."""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.records import Record
from drivers.interface.volume import Update
from drivers.volume.local import LocalDriver
from flows.errors import NotFound
from worker.cli.access import Command, CommandError

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
[local]
volume_driver = worker.cli.demo.DemoDriver
volume_backend_name = local
local_path = {folder}/volumes
"""

_POOL = "demo@local#local"
_PATIENCE = 20.0
_UNLUCKY = "unlucky"


class DemoDriver(LocalDriver):
    """The local driver, with a failure to show."""

    def create_volume(self, volume: Record) -> Update:
        """Create a volume, unless it is the unlucky one: then fail when it is half done."""
        super().create_volume(volume)
        if volume.display_name == _UNLUCKY:
            raise VolumeBackendAPIException("the disk shelf went away (this failure is staged)")
        return None


class Demo(Command):
    """Show the main job: no server, no root, nothing left behind."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Run the whole story in a temporary folder."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="holdfast-demo-") as folder:
            stage = Stage(Path(folder), self.app.stdout.write)
            try:
                _story(stage)
            finally:
                stage.close()
        self.app.stdout.write(
            f"\nAll as it should be: {stage.count} operations in"
            f" {time.monotonic() - began:.1f} s, nothing left behind.\n"
        )
        return 0


class Stage:
    """One service in this process, with its bus in memory, and someone who watches it."""

    def __init__(self, folder: Path, write: Callable[[str], Any]) -> None:
        _quiet()
        from worker import conf as config
        from worker.conf import state
        from worker.db import sync
        from worker.rpc import transport
        from worker.rpc.clients.volume import VolumeClient
        from worker.rpc.context import RequestContext
        from worker.services.assembly import VolumeService

        self.folder = folder
        self.count = 0
        self._write = write
        place = folder / "holdfast.conf"
        place.write_text(_CONFIG.format(folder=folder))
        conf = config.load([], prog="holdfast", default_config_files=[str(place)])
        state.prepare(conf)
        self._watch = _Watch()
        self._service = VolumeService(conf, "local", observer=self._watch.saw)
        self.records = self._service.records
        sync.sync(self._service.database)
        self._service.start()
        self._client = VolumeClient(transport.get(conf, slots=4), timeout=10)
        self._request = RequestContext.admin()
        self.say(f"A service for backend 'local' runs in {folder}\n")
        self.say(f"{'operation':<22}{'ends in':<12}{'seconds':>8}   tasks, with milliseconds\n")

    def say(self, text: str) -> None:
        """Write to the person who watches."""
        self._write(text)

    def cast(self, method: str, resource: Record, wanted: str, **args: Any) -> Record:
        """Cast, wait, and show the flow; what it is to end in is part of the story."""
        key = (
            "snapshot" if method.endswith("_snapshot") and resource.kind == "snapshot" else "volume"
        )
        self._watch.begin(resource.id)
        began = time.monotonic()
        self._client.cast(self._request, _POOL, method, **{key: resource, **args})
        status = self._wait(resource, wanted)
        # The flow ends a moment after its last task has written the status.
        tasks = self._watch.finished(resource.id)
        self._line(method, status, time.monotonic() - began, tasks)
        if status != wanted:
            raise CommandError(f"{method} ended in {status}, not in {wanted}")
        return resource if status == "deleted" else self._row(resource)

    def call(self, method: str, **args: Any) -> Any:
        """Call and show the answer's kind."""
        began = time.monotonic()
        answer = self._client.call(self._request, _POOL, method, **args)
        self._line(method, "answered", time.monotonic() - began, "in memory")
        return answer

    def path(self, volume: Record) -> Path:
        """Connect a volume and return where its data is."""
        info = self.call("initialize_connection", volume=volume, connector={"host": "demo"})
        return Path(info["data"]["device_path"])

    def left(self) -> list[str]:
        """Return what is on the backend."""
        return sorted(os.listdir(self.folder / "volumes"))

    def close(self) -> None:
        """Stop the service, and let errors be told again."""
        self._service.stop(5)
        logging.disable(logging.NOTSET)

    def _line(self, method: str, status: str, seconds: float, tasks: str) -> None:
        self.count += 1
        self.say(f"{method:<22}{status:<12}{seconds:>8.3f}   {tasks}\n")

    def _wait(self, resource: Record, wanted: str) -> str:
        deadline = time.monotonic() + _PATIENCE
        while True:
            status = self._status(resource)
            if status == wanted or time.monotonic() > deadline:
                return status
            time.sleep(0.005)

    def _status(self, resource: Record) -> str:
        try:
            return str(self._row(resource).status)
        except NotFound:
            return "deleted"

    def _row(self, resource: Record) -> Record:
        if resource.kind == "volume":
            return self.records.volumes.get(resource.id)
        return self.records.snapshots.get(resource.id)


class _Watch:
    """Notes when each task of a resource's flow changes its state."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[str, str, float]]] = {}
        self._changed = threading.Condition()

    def begin(self, resource_id: str) -> None:
        """Forget earlier flows of a resource."""
        with self._changed:
            self._seen[resource_id] = []

    def saw(self, detail: Any, task: str, state: str) -> None:
        """Be told by the engine."""
        with self._changed:
            noted = self._seen.setdefault(detail.meta["resource"][1], [])
            noted.append((task, state, time.monotonic()))
            self._changed.notify_all()

    def finished(self, resource_id: str) -> str:
        """Wait for the end of the flow and tell its tasks."""
        with self._changed:
            self._changed.wait_for(lambda: _is_over(self._seen[resource_id]), 5)
            return _told(self._seen[resource_id])


def _is_over(seen: list[tuple[str, str, float]]) -> bool:
    if not seen:
        return False
    task, state, _when = seen[-1]
    ends = {"finish", "clean"} if "clean" in {t for t, _s, _w in seen} else {"finish"}
    if any(s == "REVERTING" for _t, s, _w in seen):
        return task == "begin" and state == "REVERTED"
    return task in ends and state == "SUCCESS"


def _told(seen: list[tuple[str, str, float]]) -> str:
    began: dict[tuple[str, str], float] = {}
    parts = []
    for task, state, when in seen:
        if state in ("RUNNING", "REVERTING"):
            began[task, state] = when
        elif state == "SUCCESS":
            parts.append(f"{task} {(when - began[task, 'RUNNING']) * 1e3:.0f}")
        elif state == "FAILURE":
            parts.append(f"{task} FAILED")
        elif state == "REVERTED":
            parts.append(f"undo {task} {(when - began[task, 'REVERTING']) * 1e3:.0f}")
    return ", ".join(parts)


def _story(stage: Stage) -> None:
    volumes, snapshots = stage.records.volumes, stage.records.snapshots
    new = {"status": "creating", "host": _POOL, "project_id": "demo", "user_id": "demo"}
    volume = stage.cast("create_volume", volumes.create(size=1, **new), "available")
    first = os.urandom(8 * 1024 * 1024)
    place = stage.path(volume)
    _put(place, first)
    stage.say(f"  written: 8 MiB, SHA-256 {_sum(first)}\n")
    wanted = snapshots.create(
        volume_id=volume.id,
        volume_size=1,
        volume_type_id=volume.volume_type_id,
        project_id="demo",
        status="creating",
    )
    snapshot = stage.cast("create_snapshot", wanted, "available")
    _put(place, os.urandom(len(first)))
    stage.say("  written: other data over it\n")

    restored = volumes.create(size=2, snapshot_id=snapshot.id, **new)
    restored = stage.cast("create_volume", restored, "available")
    _compare(stage, "the volume from the snapshot", stage.path(restored), first)
    clone = stage.cast(
        "create_volume", volumes.create(size=2, source_volid=restored.id, **new), "available"
    )
    _compare(stage, "the clone of that volume", stage.path(clone), first)

    volumes.transition(volume.id, "reverting", when=("available",))
    snapshots.transition(snapshot.id, "restoring", when=("available",))
    args = {"snapshot": snapshots.get(snapshot.id)}
    volume = stage.cast("revert_to_snapshot", volumes.get(volume.id), "available", **args)
    place = stage.path(volume)
    _compare(stage, "the volume after its revert", place, first)
    volumes.transition(volume.id, "extending", when=("available",))
    stage.cast("extend_volume", volumes.get(volume.id), "available", new_size=3, reservations=[])
    stage.say(f"  its size is now {place.stat().st_size // 1024**3} GiB\n")
    stage.call("terminate_connection", volume_id=volume.id, connector={"host": "demo"})

    stage.say("A driver that fails half way: what it made is removed, the status says so\n")
    unlucky = volumes.create(size=1, display_name=_UNLUCKY, **new)
    stage.cast("create_volume", unlucky, "error")
    if f"volume-{unlucky.id}" in stage.left():
        raise CommandError("the failed volume is still on the backend")

    stage.say("And everything goes again\n")
    snapshots.transition(snapshot.id, "deleting", when=("available",))
    for each in (volume, restored, clone, unlucky):
        volumes.transition(each.id, "deleting", when=("available", "error"))
        stage.cast("delete_volume", volumes.get(each.id), "deleted", cascade=True)
    if stage.left():
        raise CommandError(f"left on the backend: {', '.join(stage.left())}")


def _put(place: Path, data: bytes) -> None:
    with place.open("r+b") as device:
        device.write(data)
        device.flush()
        os.fsync(device.fileno())


def _compare(stage: Stage, what: str, place: Path, data: bytes) -> None:
    with place.open("rb") as device:
        found = device.read(len(data))
    if found != data:
        raise CommandError(f"{what} has SHA-256 {_sum(found)}, not {_sum(data)}")
    stage.say(f"  compared: {what} has the same SHA-256 {_sum(found)}\n")


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16] + "…"


def _quiet() -> None:
    """Keep the log out of the show; the story tells what happens."""
    logging.disable(logging.CRITICAL)
