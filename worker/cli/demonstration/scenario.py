# SPDX-License-Identifier: Apache-2.0
"""The scenario of ``holdfast demo``: each operation once, its data compared by checksum."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from oslo_utils import units

from drivers.interface.records import Record
from flows.statuses import (
    BackupStatus,
    GroupSnapshotStatus,
    GroupStatus,
    SnapshotStatus,
    VolumeStatus,
)
from worker.cli.access import CommandError
from worker.cli.demonstration.demo_services import NODE, POOL, DemoServices

_AVAILABLE, _DELETED = VolumeStatus.AVAILABLE, VolumeStatus.DELETED
"""The same for resources of every kind."""

_DATA = 8 * units.Mi
_OWNER = {"project_id": "demo", "user_id": "demo"}
_CONNECTOR = {"host": "demo"}


class Scenario:
    """The scenario, played on demonstration services."""

    def __init__(self, stage: DemoServices) -> None:
        self._stage = stage
        self._volumes = stage.records.volumes
        self._snapshots = stage.records.snapshots
        self._data = os.urandom(_DATA)

    def play(self) -> None:
        """Play it from the first volume to the last."""
        say = self._stage.say
        say(f"A service for backend 'local' runs in {self._stage.folder}")
        say("Each line is a message over the bus, run as the flow of that name; a cast is")
        say("in the journal before it is acknowledged.")
        say()
        self._stage.heads()
        volume = self._stage.cast("create_volume", self._new("data", size=1), _AVAILABLE)
        device = self._connected(volume)
        _put(device, self._data)
        say(f"  written: 8 MiB with SHA-256 {_sum(self._data)}")
        snapshot = self._stage.cast("create_snapshot", self._of(volume, "monday"), _AVAILABLE)
        _put(device, os.urandom(_DATA))
        say(f"  written: other data over it, SHA-256 {_sum(_get(device))}")
        restored, clone = self._copies(snapshot)
        volume = self._reverted(volume, snapshot)
        self._extended(volume)
        self._stage.call("terminate_connection", volume, volume_id=volume.id, connector=_CONNECTOR)
        self._imaged()
        self._managed()
        self._grouped()
        self._backed_up()
        unlucky = self._failed()
        self._removed(snapshot, (volume, restored, clone, unlucky))

    def _copies(self, snapshot: Record) -> tuple[Record, Record]:
        restored = self._new("from-monday", size=2, snapshot_id=snapshot.id)
        restored = self._stage.cast("create_volume", restored, _AVAILABLE)
        self._compare("the volume from the snapshot", self._connected(restored))
        clone = self._new("clone", size=2, source_volid=restored.id)
        clone = self._stage.cast("create_volume", clone, _AVAILABLE)
        self._compare("the clone of that volume", self._connected(clone))
        return restored, clone

    def _reverted(self, volume: Record, snapshot: Record) -> Record:
        self._volumes.transition(volume.id, VolumeStatus.REVERTING, when=(_AVAILABLE,))
        self._snapshots.transition(snapshot.id, SnapshotStatus.RESTORING, when=(_AVAILABLE,))
        rows = self._volumes.get(volume.id), self._snapshots.get(snapshot.id)
        volume = self._stage.cast("revert_to_snapshot", rows[0], _AVAILABLE, snapshot=rows[1])
        self._compare("the volume after its revert", self._connected(volume))
        return volume

    def _extended(self, volume: Record) -> None:
        self._volumes.transition(volume.id, VolumeStatus.EXTENDING, when=(_AVAILABLE,))
        row = self._volumes.get(volume.id)
        volume = self._stage.cast("extend_volume", row, _AVAILABLE, new_size=3, reservations=[])
        device = self._connected(volume)
        size = device.stat().st_size // units.Gi
        if (volume.size, size) != (3, 3):
            raise CommandError(f"the volume has {size} GiB, its row says {volume.size}, not 3")
        self._compare(f"the volume, now of {size} GiB,", device)

    def _imaged(self) -> None:
        say, images = self._stage.say, self._stage.images
        # A conversion is shown where the tool for it is; both copy the data without the holes.
        disk_format = "qcow2" if shutil.which("qemu-img") else "raw"
        say(f"Images: a volume is made of one, and becomes one again, as {disk_format}.")
        image = images.create(None, {"name": "linux"}, iter([self._data]))
        volume = self._from_image("from-image", image["id"])
        self._compare("the volume from the image", self._connected(volume))
        known = {"name": "copy", "disk_format": disk_format}
        copy = images.create(None, known)
        self._volumes.transition(volume.id, VolumeStatus.UPLOADING, when=(_AVAILABLE,))
        self._stage.cast(
            "copy_volume_to_image",
            self._volumes.get(volume.id),
            _AVAILABLE,
            alone=True,
            volume_id=volume.id,
            image_meta=dict(copy),
        )
        again = self._from_image("from-copy", copy["id"])
        self._compare("the volume from the copy", self._connected(again))
        self._deleted(volume, again)

    def _from_image(self, name: str, image_id: str) -> Record:
        spec = {"image_id": image_id, "volume_properties": {"size": 1}}
        volume = self._new(name, size=1)
        return self._stage.cast("create_volume", volume, _AVAILABLE, request_spec=spec)

    def _managed(self) -> None:
        self._stage.say("A file that lay in the directory becomes a volume, in whole GiB.")
        found = self._stage.folder / "volumes" / "found.img"
        with found.open("wb") as file:
            file.write(self._data)
            file.truncate(units.Gi + 1)
        volume = self._new("found", size=0, status=VolumeStatus.MANAGING)
        ref = {"source-name": found.name}
        volume = self._stage.cast("manage_existing", volume, _AVAILABLE, ref=ref)
        if volume.size != 2:
            raise CommandError(f"the managed volume has {volume.size} GiB, not 2")
        self._compare(f"the managed volume of {volume.size} GiB", self._connected(volume))
        self._deleted(volume)

    def _grouped(self) -> None:
        self._stage.say("A group: its snapshot has both volumes as of the same moment.")
        groups = self._stage.records.groups
        group = self._stage.cast("create_group", self._group("pair"), _AVAILABLE)
        pair = [self._new(name, size=1, group_id=group.id) for name in ("left", "right")]
        pair = [self._stage.cast("create_volume", one, _AVAILABLE) for one in pair]
        for volume in pair:
            _put(self._connected(volume), self._data)
        self._stage.say(f"  written: 8 MiB with SHA-256 {_sum(self._data)} to each")
        snapshot = self._stage.records.group_snapshots.create(
            group_id=group.id, status=GroupSnapshotStatus.CREATING, name="both", **_OWNER
        )
        members = [self._of(volume, "", group_snapshot_id=snapshot.id) for volume in pair]
        snapshot = self._stage.cast("create_group_snapshot", snapshot, _AVAILABLE)
        for volume in pair:
            _put(self._connected(volume), os.urandom(_DATA))
        self._stage.say("  written: other data over both")
        copy = self._group("restored")
        copies = [
            self._new(f"restored-{n}", size=1, group_id=copy.id, snapshot_id=member.id)
            for n, member in enumerate(members)
        ]
        copy = self._stage.cast("create_group_from_src", copy, _AVAILABLE, group_snapshot=snapshot)
        for volume in copies:
            self._compare(f"volume {volume.display_name}", self._connected(volume))
        self._snapshots_deleting(members)
        self._stage.records.group_snapshots.update(snapshot.id, status=GroupSnapshotStatus.DELETING)
        self._stage.cast("delete_group_snapshot", snapshot, _DELETED)
        for one, volumes in ((copy, copies), (group, pair)):
            groups.update(one.id, status=GroupStatus.DELETING)
            for volume in volumes:
                self._volumes.update(volume.id, status=VolumeStatus.DELETING)
            self._stage.cast("delete_group", one, _DELETED)

    def _backed_up(self) -> None:
        say, stage = self._stage.say, self._stage
        say("Backups: a full one, an incremental one, and a restore to another volume.")
        volume = stage.cast("create_volume", self._new("precious", size=1), _AVAILABLE)
        _put(self._connected(volume), os.urandom(_DATA))
        full = self._backup(volume, "full")
        _put(self._connected(volume), self._data)
        say(f"  written: 8 MiB with SHA-256 {_sum(self._data)}")
        leaf = self._backup(volume, "changes", parent_id=full.id)
        target = stage.cast("create_volume", self._new("restored", size=1), _AVAILABLE)
        self._volumes.transition(target.id, VolumeStatus.RESTORING_BACKUP, when=(_AVAILABLE,))
        stage.records.backups.update(leaf.id, status=BackupStatus.RESTORING)
        row = stage.records.backups.get(leaf.id)
        args = {"volume_id": target.id, "volume_is_new": True}
        stage.cast_backup("restore_backup", row, _AVAILABLE, "restore_backup", **args)
        self._compare("the volume from the backups", self._connected(target))
        for backup in (leaf, full):
            stage.records.backups.update(backup.id, status=BackupStatus.DELETING)
            stage.cast_backup("delete_backup", backup, _DELETED, "delete_backup")
        self._deleted(volume, target)

    def _backup(self, volume: Record, name: str, **columns: Any) -> Record:
        self._volumes.update(volume.id, status=VolumeStatus.BACKING_UP, previous_status=_AVAILABLE)
        backup = self._stage.records.backups.create(
            volume_id=volume.id, size=1, host=NODE, display_name=name, **_OWNER, **columns
        )
        return self._stage.cast_backup("create_backup", backup, _AVAILABLE, "continue_backup")

    def _snapshots_deleting(self, snapshots: list[Record]) -> None:
        for snapshot in snapshots:
            self._snapshots.update(snapshot.id, status=SnapshotStatus.DELETING)

    def _group(self, name: str) -> Record:
        kind = self._stage.group_type()
        columns = {"host": POOL, "name": name, "group_type_id": kind, **_OWNER}
        return self._stage.records.groups.create(status=GroupStatus.CREATING, **columns)

    def _deleted(self, *volumes: Record) -> None:
        for volume in volumes:
            self._volumes.transition(volume.id, VolumeStatus.DELETING, when=(_AVAILABLE,))
            self._stage.cast("delete_volume", self._volumes.get(volume.id), _DELETED)

    def _failed(self) -> Record:
        self._stage.say("Now the driver fails half way: finished tasks are reverted, backwards.")
        unlucky = self._stage.cast(
            "create_volume", self._new("unlucky", size=1), VolumeStatus.ERROR
        )
        if unlucky.name in self._stage.left():
            raise CommandError("the failed volume is still on the backend")
        self._stage.say("  checked: nothing of it is on the backend, its status shows the failure")
        return unlucky

    def _removed(self, snapshot: Record, volumes: tuple[Record, ...]) -> None:
        self._stage.say("And everything goes again, the snapshot along with its volume.")
        self._snapshots.transition(snapshot.id, SnapshotStatus.DELETING, when=(_AVAILABLE,))
        for volume in volumes:
            self._volumes.transition(
                volume.id, VolumeStatus.DELETING, when=(_AVAILABLE, VolumeStatus.ERROR)
            )
            row = self._volumes.get(volume.id)
            self._stage.cast("delete_volume", row, _DELETED, cascade=True)
        if left := self._stage.left():
            raise CommandError(f"left on the backend: {', '.join(left)}")
        states = [entry.state for entry in self._stage.journal.entries()]
        done, undone = states.count("SUCCESS"), states.count("REVERTED")
        self._stage.say()
        self._stage.say(
            f"Nothing is left on the backend. The journal: {done} done, {undone} undone."
        )

    def _new(self, name: str, **columns: Any) -> Record:
        fixed = {"host": POOL, "display_name": name, **_OWNER}
        return self._volumes.create(**{"status": VolumeStatus.CREATING, **columns, **fixed})

    def _of(self, volume: Record, name: str, **columns: Any) -> Record:
        return self._snapshots.create(
            volume_id=volume.id,
            status=SnapshotStatus.CREATING,
            display_name=name,
            **_OWNER,
            **columns,
        )

    def _connected(self, volume: Record) -> Path:
        """Connect a volume and return where its data is."""
        args = {"volume": volume, "connector": _CONNECTOR}
        info = self._stage.call("initialize_connection", volume, **args)
        return Path(info["data"]["device_path"])

    def _compare(self, label: str, device: Path) -> None:
        found = _sum(_get(device))
        if found != _sum(self._data):
            raise CommandError(f"{label} has SHA-256 {found}, not {_sum(self._data)}")
        self._stage.say(f"  compared: {label} has the same SHA-256 {found}")


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
