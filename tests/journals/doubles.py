# SPDX-License-Identifier: Apache-2.0
"""Drivers and remote services whose state is a few names, fit for JSON."""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from drivers.interface.backup import BackupDriver
from drivers.interface.records import Record
from flows.protocols.encryption_keys import Passphrase
from tests.unit.flows.world.backend import RecordingDriver
from tests.unit.flows.world.doubles import Noted
from worker.db.records import Records

ROOM = 512
"""Length of a volume's file, in bytes."""


class Keys:
    """A key manager that has any key, and makes another one for each call."""

    def create_key(self, request: Any, owner: Any, algorithm: str, length: int) -> str:
        return str(uuid.uuid4())

    def passphrase(self, request: Any, key_id: str) -> Passphrase:
        return Passphrase(key_id.encode())

    def clone(self, request: Any, key_id: str, owner: Any) -> str:
        return str(uuid.uuid4())

    def delete(self, request: Any, key_id: str) -> None: ...

    def remove_unnamed(self, request: Any, owner: Any, named: Collection[str]) -> None: ...


class Driver(RecordingDriver):
    """A volume driver that keeps names of objects; their data does not matter.

    ``backs_up_by_snapshot`` and ``missing`` say how a case goes.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.backs_up_by_snapshot = False

    def state(self) -> dict[str, Any]:
        """Return the names and settings, fit for JSON; empty ones as well."""
        return {
            "objects": sorted(self.objects),
            "exports": sorted(self.exports),
            "missing": sorted(self.missing),
            "backs_up_by_snapshot": self.backs_up_by_snapshot,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state, in which empty parts may be missing."""
        self.objects, self.exports = set(state.get("objects", ())), set(state.get("exports", ()))
        self.missing = set(state.get("missing", ()))
        self.backs_up_by_snapshot = bool(state.get("backs_up_by_snapshot"))

    def backup_use_temp_snapshot(self) -> bool:
        return self.backs_up_by_snapshot

    def secure_file_operations_enabled(self) -> bool:
        return True

    def migrate_volume(self, context: Any, volume: Record, host: Any) -> Any:
        return "migrate_volume" not in self.missing, None

    def retype(self, context: Any, volume: Record, new_type: Record, diff: Any, host: Any) -> Any:
        return "retype" not in self.missing

    def create_export_snapshot(self, context: Any, snapshot: Record, connector: Any) -> Any:
        self.exports.add(snapshot.name)

    def remove_export_snapshot(self, context: Any, snapshot: Record) -> None:
        self.exports.discard(snapshot.name)

    def initialize_connection_snapshot(self, snapshot: Record, connector: Any) -> Any:
        return info_of(self.directory, snapshot)

    def terminate_connection_snapshot(
        self, snapshot: Record, connector: Any, force: bool = False
    ) -> None: ...

    def initialize_connection(
        self, volume: Record, connector: Any, initiator_data: Any = None
    ) -> Any:
        return info_of(self.directory, volume)


class BackupStore(BackupDriver):
    """A backup driver that keeps the names of its backups."""

    def __init__(self) -> None:
        super().__init__(None)
        self.objects: set[str] = set()

    def place(self, backup: Record) -> Any:
        return {"container": "vault"}

    def backup(self, backup: Record, volume_file: BinaryIO, *_: Any, **__: Any) -> Any:
        volume_file.read(1)
        self.objects.add(f"backup-{backup.id}")
        return {"service_metadata": "kept", "object_count": 1}

    def restore(self, backup: Record, volume_id: str, volume_file: BinaryIO, *_: Any) -> None:
        assert f"backup-{backup.id}" in self.objects, "it was not kept"
        volume_file.write(b"restored")

    def delete_backup(self, backup: Record) -> None:
        self.objects.discard(f"backup-{backup.id}")

    def other_place(self, backup: Record) -> str:
        return f"{backup.service_metadata} again"

    def rewrite(self, backup: Record, base: Record | None, service_metadata: str, **_: Any) -> Any:
        parent_id = None if base is None else base.id
        return {"service_metadata": service_metadata, "parent_id": parent_id, "object_count": 1}

    def remove_copy(self, backup: Record, service_metadata: str) -> None:
        assert backup.deleted or backup.service_metadata != service_metadata


class VolumeServices(Noted):
    """The other volume services, which carry out each request at once.

    :param objects: of the backend that all of them have.
    """

    def __init__(self, records: Records, objects: set[str], directory: Path) -> None:
        super().__init__()
        self._records, self._objects, self._directory = records, objects, directory

    def secure_file_operations_enabled(self, request: Any, volume: Record) -> bool:
        return True

    def new_volumes_are_zero(self, request: Any, volume: Record) -> bool:
        return False

    def connect(self, request: Any, source: Record, connector: Any) -> Mapping[str, Any]:
        return info_of(self._directory, source)

    def create(self, request: Any, volume: Record) -> None:
        self._objects.add(volume.name)
        self._records.volumes.update(volume.id, status="available")

    def delete(self, request: Any, source: Record) -> None:
        rows: Any = {"volume": self._records.volumes, "snapshot": self._records.snapshots}
        self._objects.discard(source.name)
        rows[source.kind].destroy(source.id)

    def changed_extents(
        self, request: Any, source: Record, since: str
    ) -> Sequence[tuple[int, int]] | None:
        return None


class BackupServices(Noted):
    """The backup services, as the volume service knows them."""

    def device(self, source: Record, secure: bool) -> dict[str, Any]:
        return {"kind": source.kind, "id": source.id, "secure": secure}

    def alive(self, zone: str | None, preferred: str | None) -> str | None:
        return preferred


class Attacher:
    """A host on which each volume is a file already."""

    def connector(self) -> Mapping[str, Any]:
        return {"host": "h1", "ip": "192.0.2.1", "do_local_attach": True}

    @contextmanager
    def opened(self, info: Mapping[str, Any], *, write: bool, secure: bool) -> Iterator[BinaryIO]:
        with open(info["data"]["device_path"], "r+b" if write else "rb") as file:
            yield file

    def detach(self, info: Mapping[str, Any]) -> None: ...


def info_of(directory: Path, source: Record) -> dict[str, Any]:
    """Return connection info of a volume or snapshot, whose file is made where it is missing."""
    path = directory / source.name
    path.touch()
    os.truncate(path, ROOM)
    return {"driver_volume_type": "local", "data": {"device_path": str(path)}}
