# SPDX-License-Identifier: Apache-2.0
"""The protocols of ``flows.context`` over the tables in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from drivers.interface.records import Record
from flows import errors
from flows.errors import InvalidVolume, VolumeTypeNotFound
from tests.unit.flows.world.rows import Database

_SWAPPED = ("host", "attach_status", "availability_zone", "provider_id", "encryption_key_id")
_SETS = ("metadata", "admin_metadata")
_WORK_TYPES = {"group": "Group", "consistencygroup": "ConsistencyGroup"}


def require_mark(
    db: Database, kind: str, row_id: str, mark: int | None, *, done: bool = True
) -> None:
    if mark is None:
        return
    if db.work.get((kind, row_id)) != mark:
        raise errors.StatusChanged(f"{kind} {row_id}", "claimed by another operation", ())
    if done:
        del db.work[kind, row_id]


class Volumes:
    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, volume_id: str) -> Record:
        return self._db.volume(self._db.volumes.live(volume_id))

    def current(self, volume_id: str) -> Record:
        return self.get(volume_id)

    def with_columns(self, volume_id: str, **columns: Any) -> Record:
        return self._db.volume({**self._db.volumes.live(volume_id), **columns})

    def create(self, **columns: Any) -> Record:
        sets = {name: columns.pop(name) for name in _SETS if name in columns}
        row = self._db.volumes.insert(columns)
        for name, pairs in sets.items():
            self._db.pairs.setdefault((name, row["id"]), dict(pairs))
        return self._db.volume(row)

    def update_all(self, entries: Iterable[Mapping[str, Any]]) -> None:
        wanted = [(e["id"], {k: v for k, v in e.items() if k != "id"}) for e in entries]
        for volume_id, columns in wanted:
            self._db.volumes.live(volume_id)
            self._db.volumes._check({k: v for k, v in columns.items() if k not in _SETS})
        for volume_id, columns in wanted:
            self.update(volume_id, **columns)

    def migrate(
        self, volume_id: str, to: str, *, when: Collection[str | None], mark: int | None = None
    ) -> None:
        require_mark(self._db, "Volume", volume_id, mark, done=False)
        row = self._db.volumes.live(volume_id)
        if row["migration_status"] not in (*when, to):
            raise InvalidVolume(f"its migration status is {row['migration_status']}")
        row["migration_status"] = to

    def swap(
        self,
        volume_id: str,
        copy_id: str,
        to: str,
        *,
        commit: Sequence[str] = (),
        mark: int | None = None,
    ) -> None:
        old, new = (self._db.volumes.live(one) for one in (volume_id, copy_id))
        found = (old["migration_status"], new["migration_status"])
        if found != ("success", "deleting"):
            if found != ("completing", f"target:{volume_id}"):
                raise InvalidVolume(f"{volume_id} and {copy_id} are {found}")
            for name in _SWAPPED:
                old[name], new[name] = new[name], old[name]
            new["_name_id"] = new["_name_id"] or volume_id
            old["volume_type_id"] = new["volume_type_id"]
            old.update(status=to, previous_status=new["status"], migration_status="success")
            new.update(status="deleting", migration_status="deleting")
            for row in self._db.attachments.of(volume_id=copy_id):
                row["volume_id"] = volume_id
            require_mark(self._db, "Volume", volume_id, mark)
        self._db.quota.settle(commit, used=True)

    def update(self, volume_id: str, **columns: Any) -> None:
        sets = {name: columns.pop(name) for name in _SETS if name in columns}
        self._db.volumes.write(volume_id, columns)
        for name, pairs in sets.items():
            if not isinstance(pairs, dict):
                raise ValueError(f"volume.{name}: takes pairs")
            self._db.pairs[name, volume_id] = dict(pairs)

    def transition(
        self,
        volume_id: str,
        to: str,
        *,
        when: Collection[str],
        commit: Sequence[str] = (),
        rollback: Sequence[str] = (),
        done: bool = False,
        mark: int | None = None,
        **columns: Any,
    ) -> None:
        self._db.volumes._check(columns)
        if self._db.volumes.is_in(volume_id, when):
            require_mark(self._db, "Volume", volume_id, mark, done=done)
        self._db.volumes.change(volume_id, to, when, columns)
        for row in self._db.snapshots.of(volume_id=volume_id):
            row["volume_type_id"] = columns.get("volume_type_id", row["volume_type_id"])
        self._db.quota.settle(commit, used=True)
        self._db.quota.settle(rollback, used=False)
        if done:
            self._db.work.pop(("Volume", volume_id), None)

    def destroy(self, volume_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        row = self._db.volumes.rows[volume_id]
        if row["deleted"]:
            return False
        row.update(deleted=True, status="deleted", migration_status=None)
        cache = self._db.image_cache
        cache[:] = [entry for entry in cache if entry["volume_id"] != volume_id]
        for snapshot in self._db.snapshots.of(volume_id=volume_id):
            snapshot["deleted"] = True
        for attachment in self._db.attachments.of(volume_id=volume_id):
            attachment.update(deleted=True, attach_status="detached")
        self._db.quota.release(release)
        self._db.work.pop(("Volume", volume_id), None)
        return True

    def pop_admin_metadata(self, volume_id: str, key: str) -> None:
        self._db.pairs.get(("admin_metadata", volume_id), {}).pop(key, None)

    def set_admin_metadata(self, volume_id: str, **pairs: str) -> None:
        self._db.pairs.setdefault(("admin_metadata", volume_id), {}).update(pairs)

    def copy_image_metadata(
        self, volume_id: str, *, from_volume: str | None = None, from_snapshot: str | None = None
    ) -> None:
        if self._db.image_metadata_fails:
            raise RuntimeError("the metadata is too long")
        found = self._db.pairs.get(("image", str(from_volume or from_snapshot)), {})
        self._db.pairs["image", volume_id] = dict(found)

    def qos(self, volume_type_id: str | None) -> dict[str, Any] | None:
        return self._db.qos.get(volume_type_id or "")

    def replace_image_metadata(self, volume_id: str, pairs: Mapping[str, Any]) -> None:
        if self._db.image_metadata_fails:
            raise ValueError("volume_glance_metadata.key: too long")
        self._db.volumes.live(volume_id)
        self._db.pairs["image", volume_id] = dict(pairs)

    def copy_of(self, volume_id: str) -> Record | None:
        found = self._db.volumes.of(migration_status=f"target:{volume_id}")
        return self.get(found[0]["id"]) if found else None

    def named(self, text: str) -> Record | None:
        rows = self._db.volumes.of()
        found = [row for row in rows if f"volume-{row['_name_id'] or row['id']}" == text]
        return self._db.volume(found[0]) if found else None


class Snapshots:
    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, snapshot_id: str) -> Record:
        return self._db.snapshot(self._db.snapshots.live(snapshot_id))

    def of_volume(self, volume_id: str) -> list[Record]:
        return [self._db.snapshot(row) for row in self._db.snapshots.of(volume_id=volume_id)]

    def create(self, **columns: Any) -> Record:
        return self._db.snapshot(self._db.snapshots.insert(columns))

    def update(self, snapshot_id: str, **columns: Any) -> None:
        self._db.snapshots.write(snapshot_id, columns)

    def transition(
        self,
        snapshot_id: str,
        to: str,
        *,
        when: Collection[str],
        done: bool = False,
        commit: Sequence[str] = (),
        **columns: Any,
    ) -> None:
        self._db.snapshots.change(snapshot_id, to, when, columns)
        self._db.quota.settle(commit, used=True)
        if done:
            self._db.work.pop(("Snapshot", snapshot_id), None)

    def destroy(self, snapshot_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        row = self._db.snapshots.rows[snapshot_id]
        if row["deleted"]:
            return False
        row.update(deleted=True, status="deleted")
        self._db.quota.release(release)
        self._db.work.pop(("Snapshot", snapshot_id), None)
        return True

    def copy_image_metadata(self, snapshot_id: str, *, from_volume: str) -> None:
        if self._db.image_metadata_fails:
            raise RuntimeError("the metadata is too long")
        self._db.pairs["image", snapshot_id] = dict(self._db.pairs.get(("image", from_volume), {}))

    def named(self, text: str) -> Record | None:
        found = [row for row in self._db.snapshots.of() if f"snapshot-{row['id']}" in text]
        return self._db.snapshot(found[0]) if found else None


class Groups:
    """Groups, or snapshots of groups, of one kind."""

    def __init__(self, db: Database, kind: str) -> None:
        self._db, self._kind, self._column = db, kind, f"{kind}_id"
        self._table = db.groups[kind]
        snapshots = kind in ("group_snapshot", "cgsnapshot")
        self._members = db.snapshots if snapshots else db.volumes
        self._record = db.snapshot if snapshots else db.volume

    def get(self, row_id: str) -> Record:
        return self._db.group(self._kind, self._table.live(row_id))

    def members(self, row_id: str) -> list[Record]:
        return [self._record(row) for row in self._members.of(**{self._column: row_id})]

    def update(self, row_id: str, **columns: Any) -> None:
        self._table.write(row_id, columns)

    def update_members(self, row_id: str, entries: Iterable[Mapping[str, Any]]) -> None:
        wanted = [(e["id"], {k: v for k, v in e.items() if k != "id"}) for e in entries]
        for _, columns in wanted:
            self._members._check(columns)
        for member_id, columns in wanted:
            self._members.write(member_id, columns)

    def transition(
        self,
        row_id: str,
        to: str,
        *,
        when: Collection[str],
        mark: int | None = None,
        **columns: Any,
    ) -> None:
        self._table._check(columns)
        if self._table.is_in(row_id, when):
            require_mark(self._db, _WORK_TYPES.get(self._kind, ""), row_id, mark)
        self._table.change(row_id, to, when, columns)

    def set_replication(
        self,
        row_id: str,
        to: str,
        *,
        when: str,
        status: str | None = None,
        members_status: str | None = None,
        mark: int | None = None,
    ) -> None:
        row = self._table.live(row_id)
        if row["replication_status"] not in (when, to):
            raise errors.StatusChanged(f"group {row_id}", row["replication_status"], (when,))
        if row["replication_status"] == when:
            require_mark(self._db, "Group", row_id, mark)
        for member in self._members.of(**{self._column: row_id}):
            if member["replication_status"] == when:
                member.update(replication_status=to, status=members_status or member["status"])
        if row["replication_status"] == when:
            row.update(replication_status=to, status=status or row["status"])

    def change_members(self, row_id: str, add: Iterable[str], remove: Iterable[str]) -> None:
        for volume_id in add:
            self._members.write(volume_id, {self._column: row_id})
        for volume_id in remove:
            self._members.write(volume_id, {self._column: None})

    def destroy(self, row_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        row = self._table.rows[row_id]
        if row["deleted"]:
            return False
        row.update(deleted=True, status="deleted")
        self._db.quota.release(release)
        return True


class Attachments:
    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, attachment_id: str) -> Record:
        return Record("attachment", self._db.attachments.live(attachment_id))

    def of_volume(self, volume_id: str) -> list[Record]:
        return [Record("attachment", row) for row in self._db.attachments.of(volume_id=volume_id)]

    def create(self, **columns: Any) -> Record:
        return Record("attachment", self._db.attachments.insert(columns))

    def update(self, attachment_id: str, **columns: Any) -> None:
        self._db.attachments.write(attachment_id, columns)

    def destroy(self, attachment_id: str) -> None:
        self._db.attachments.rows[attachment_id].update(deleted=True, attach_status="detached")

    def count(self, volume_id: str) -> int:
        rows = self._db.attachments.rows.values()
        return sum(1 for row in rows if row["volume_id"] == volume_id)

    def settle_volume(self, volume_id: str) -> str:
        volume = self._db.volumes.live(volume_id)
        found = {row["attach_status"] for row in self._db.attachments.of(volume_id=volume_id)}
        word = min((s for s in found if not s.startswith("error_")), default="detached")
        status = {"attached": "in-use", "detached": "available"}.get(word, word)
        migrating = volume["migration_status"] not in (None, "success", "error")
        if word == "detached" and (migrating or volume["status"] == "uploading"):
            status = volume["status"]
        volume.update(status=status, attach_status=word)
        return str(status)


class Work:
    def __init__(self, db: Database) -> None:
        self._work = db.work

    def claim(self, resource_type: str, resource_id: str, status: str) -> None:
        if (resource_type, resource_id) in self._work:
            self._work[resource_type, resource_id] = "ours"

    def offer(self, resource_type: str, resource_id: str, status: str) -> None:
        self._work[resource_type, resource_id] = "anybody's"

    def done(self, resource_type: str, resource_id: str) -> None:
        self._work.pop((resource_type, resource_id), None)

    def mark(
        self, resource_type: str, resource_id: str, status: str, mark: int, *, unless_marked: bool
    ) -> bool:
        found = self._work.get((resource_type, resource_id))
        if unless_marked and isinstance(found, int) and found != mark:
            return False
        self._work[resource_type, resource_id] = mark
        return True

    def is_marked(self, resource_type: str, resource_id: str, mark: int) -> bool:
        return self._work.get((resource_type, resource_id)) == mark

    def unmark(self, resource_type: str, resource_id: str, mark: int) -> None:
        if self.is_marked(resource_type, resource_id, mark):
            del self._work[resource_type, resource_id]


class Types:
    """Types; one of which nothing is known has no specs."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, type_id: str | None) -> Record | None:
        return Record("volume_type", {"id": type_id, "extra_specs": {}, **self._of(type_id)})

    def encryption(self, type_id: str | None) -> Mapping[str, Any] | None:
        return self._of(type_id).get("encryption")

    def diff(self, old_id: str, new_id: str) -> dict[str, dict[str, list[Any]]]:
        if new_id == "gone":
            raise VolumeTypeNotFound("there is no volume type gone")
        old, new = self._of(old_id), self._of(new_id)
        parts = ("extra_specs", "qos_specs", "encryption")
        return {part: _differing(old.get(part, {}), new.get(part, {})) for part in parts}

    def _of(self, type_id: str | None) -> dict[str, Any]:
        return self._db.types.get(type_id or "", {})


def _differing(old: dict[str, Any], new: dict[str, Any]) -> dict[str, list[Any]]:
    names = sorted(old.keys() | new.keys())
    return {n: [old.get(n), new.get(n)] for n in names if old.get(n) != new.get(n)}


class Services:
    def serving(self, host: str) -> Record | None:
        if "nowhere" in host:
            return None
        return Record("service", {"availability_zone": "far", "uuid": f"service of {host}"})


class Initiators:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], dict[str, str]] = {}

    def get(self, initiator: str, namespace: str) -> dict[str, str]:
        return dict(self.kept.get((initiator, namespace), {}))

    def save(
        self,
        initiator: str,
        namespace: str,
        set_values: Mapping[str, Any],
        remove_values: Iterable[str],
    ) -> None:
        if not all(isinstance(value, str) for value in set_values.values()):
            raise ValueError("driver_initiator_data.value: takes text")
        pairs = self.kept.setdefault((initiator, namespace), {})
        pairs.update(set_values)
        for key in remove_values:
            pairs.pop(key, None)


class Service:
    """The row of the service; ``told`` is the message to the other processes."""

    def __init__(self) -> None:
        self.row: dict[str, Any] = {
            "id": 7,
            "replication_status": "failing-over",
            "active_backend_id": None,
            "disabled": False,
            "disabled_reason": None,
            "frozen": False,
            "cluster_name": None,
        }
        self.told: list[dict[str, Any]] = []

    def get(self) -> Record:
        return Record("service", dict(self.row))

    def update(self, **columns: Any) -> None:
        self.row.update(columns)

    def update_all(self, **columns: Any) -> None:
        self.row.update(columns)

    def spread(self, **columns: Any) -> None:
        self.told.append(columns)


class Host:
    """All that is on the backend."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def volumes(self) -> list[Record]:
        return [self._db.volume(row) for row in self._db.volumes.of()]

    def replicated_groups(self) -> list[Record]:
        return [self._db.group("group", row) for row in self._db.groups["group"].of()]
