# SPDX-License-Identifier: Apache-2.0
"""holdfast demo: the main job on embedded defaults, step by step, before your eyes."""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.cli.access import Command, CommandError
from worker.cli.colour import Colour

if TYPE_CHECKING:
    from drivers.interface.records import Record
    from worker.cli.stage import Stage

_DATA = 8 * 1024**2
_GIB = 1024**3
_OWNER = {"project_id": "demo", "user_id": "demo"}
_CONNECTOR = {"host": "demo"}


class Demo(Command):
    """Show the main job on embedded defaults: no server, no root, nothing left behind.

    The service runs in this process, with its bus in memory, SQLite, and the local
    driver in a temporary folder. -v shows its log.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Tell the whole story in a temporary folder."""
        began = time.monotonic()
        quiet = self.app.options.verbose_level < 2
        with _log(quiet), tempfile.TemporaryDirectory(prefix="holdfast-demo-") as folder:
            from worker.cli.stage import Stage

            stage = Stage(Path(folder), self._write, Colour(self.app.stdout))
            try:
                Story(stage).tell()
            finally:
                stage.close()
        took = time.monotonic() - began
        self._write(
            f"All as it should be: {stage.count} operations in {took:.1f} s, nothing left behind.\n"
        )
        return 0

    def _write(self, text: str) -> None:
        self.app.stdout.write(text)
        self.app.stdout.flush()


class Story:
    """What happens on the stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._volumes = stage.records.volumes
        self._snapshots = stage.records.snapshots
        self._data = os.urandom(_DATA)

    def tell(self) -> None:
        """Tell it from the first volume to the last."""
        say = self._stage.say
        say(f"A service for backend 'local' runs in {self._stage.folder}")
        say("Each line is a message over the bus, run as the flow of that name; what is cast is")
        say("in the journal before it is acknowledged.")
        say()
        self._stage.heads()
        volume = self._stage.cast("create_volume", self._new("data", size=1), "available")
        device = self._connected(volume)
        _put(device, self._data)
        say(f"  written: 8 MiB with SHA-256 {_sum(self._data)}")
        snapshot = self._stage.cast("create_snapshot", self._of(volume, "monday"), "available")
        _put(device, os.urandom(_DATA))
        say(f"  written: other data over it, SHA-256 {_sum(_get(device))}")
        restored, clone = self._copies(snapshot)
        volume = self._reverted(volume, snapshot)
        self._extended(volume)
        self._stage.call("terminate_connection", volume, volume_id=volume.id, connector=_CONNECTOR)
        unlucky = self._failed()
        self._removed(snapshot, (volume, restored, clone, unlucky))

    def _copies(self, snapshot: Record) -> tuple[Record, Record]:
        restored = self._new("from-monday", size=2, snapshot_id=snapshot.id)
        restored = self._stage.cast("create_volume", restored, "available")
        self._compare("the volume from the snapshot", self._connected(restored))
        clone = self._new("clone", size=2, source_volid=restored.id)
        clone = self._stage.cast("create_volume", clone, "available")
        self._compare("the clone of that volume", self._connected(clone))
        return restored, clone

    def _reverted(self, volume: Record, snapshot: Record) -> Record:
        self._volumes.transition(volume.id, "reverting", when=("available",))
        self._snapshots.transition(snapshot.id, "restoring", when=("available",))
        rows = self._volumes.get(volume.id), self._snapshots.get(snapshot.id)
        volume = self._stage.cast("revert_to_snapshot", rows[0], "available", snapshot=rows[1])
        self._compare("the volume after its revert", self._connected(volume))
        return volume

    def _extended(self, volume: Record) -> None:
        self._volumes.transition(volume.id, "extending", when=("available",))
        args = {"new_size": 3, "reservations": []}
        volume = self._stage.cast(
            "extend_volume", self._volumes.get(volume.id), "available", **args
        )
        device = self._connected(volume)
        size = device.stat().st_size // _GIB
        if (volume.size, size) != (3, 3):
            raise CommandError(f"the volume has {size} GiB, its row says {volume.size}, not 3")
        self._compare(f"the volume, now of {size} GiB,", device)

    def _failed(self) -> Record:
        self._stage.say("Now the driver fails half way: what was done is undone, backwards.")
        unlucky = self._stage.cast("create_volume", self._new("unlucky", size=1), "error")
        if unlucky.name in self._stage.left():
            raise CommandError("the failed volume is still on the backend")
        self._stage.say("  checked: nothing of it is on the backend, its status tells the user")
        return unlucky

    def _removed(self, snapshot: Record, volumes: tuple[Record, ...]) -> None:
        self._stage.say("And everything goes again, the snapshot along with its volume.")
        self._snapshots.transition(snapshot.id, "deleting", when=("available",))
        for volume in volumes:
            self._volumes.transition(volume.id, "deleting", when=("available", "error"))
            row = self._volumes.get(volume.id)
            self._stage.cast("delete_volume", row, "deleted", cascade=True)
        if left := self._stage.left():
            raise CommandError(f"left on the backend: {', '.join(left)}")
        states = [entry.state for entry in self._stage.journal.entries()]
        done, undone = states.count("SUCCESS"), states.count("REVERTED")
        self._stage.say()
        self._stage.say(
            f"Nothing is left on the backend. The journal: {done} done, {undone} undone."
        )

    def _new(self, name: str, **columns: Any) -> Record:
        from worker.cli.stage import POOL

        columns |= {"status": "creating", "host": POOL, "display_name": name, **_OWNER}
        return self._volumes.create(**columns)

    def _of(self, volume: Record, name: str) -> Record:
        return self._snapshots.create(
            volume_id=volume.id, status="creating", display_name=name, **_OWNER
        )

    def _connected(self, volume: Record) -> Path:
        """Connect a volume and return where its data is."""
        args = {"volume": volume, "connector": _CONNECTOR}
        info = self._stage.call("initialize_connection", volume, **args)
        return Path(info["data"]["device_path"])

    def _compare(self, what: str, device: Path) -> None:
        found = _sum(_get(device))
        if found != _sum(self._data):
            raise CommandError(f"{what} has SHA-256 {found}, not {_sum(self._data)}")
        self._stage.say(f"  compared: {what} has the same SHA-256 {found}")


def _put(device: Path, data: bytes) -> None:
    with device.open("r+b") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())


def _get(device: Path) -> bytes:
    with device.open("rb") as opened:
        return opened.read(_DATA)


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16] + "..."


@contextmanager
def _log(quiet: bool) -> Iterator[None]:
    """Keep the log out of the show: the story tells what happens."""
    before = logging.root.manager.disable
    if quiet:
        logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
