# SPDX-License-Identifier: Apache-2.0
"""Records in memory, with the meaning of the database's (``flows.context``)."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from drivers.interface.records import Record
from flows import errors

LONGEST = 256


def _names(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_COMMON = _names("id created_at updated_at deleted_at deleted status user_id project_id use_quota")
VOLUME = _COMMON | _names(
    "_name_id size host migration_status scheduled_at launched_at terminated_at",
    "snapshot_id source_volid attach_status bootable multiattach previous_status",
    "provider_location provider_auth provider_geometry provider_id volume_type_id",
    "encryption_key_id service_uuid shared_targets display_name replication_status",
    "group_id consistencygroup_id availability_zone cluster_name display_description",
)
SNAPSHOT = _COMMON | _names(
    "volume_id progress volume_size encryption_key_id volume_type_id display_name",
    "provider_location provider_auth provider_id group_snapshot_id cgsnapshot_id",
)
_GROUP = _names(
    "id created_at deleted status user_id project_id cluster_name host availability_zone name",
    "description",
)
GROUPS = {
    "group": _GROUP | _names("replication_status group_type_id group_snapshot_id source_group_id"),
    "consistencygroup": _GROUP | _names("volume_type_id cgsnapshot_id source_cgid"),
    "group_snapshot": _GROUP | _names("group_id group_type_id"),
    "cgsnapshot": _GROUP | _names("consistencygroup_id"),
}
ATTACHMENT = _names(
    "id volume_id instance_uuid attached_host mountpoint attach_time detach_time",
    "attach_mode attach_status connector connection_info deleted",
)


class Quota:
    """Usage, and open reservations."""

    def __init__(self) -> None:
        self.used = {"volumes": 0, "gigabytes": 0, "snapshots": 0}
        self.open: dict[str, dict[str, int]] = {}

        self.largest = -1

    def reserve(self, resource: str, delta: int) -> str:
        reservation = str(uuid.uuid4())
        self.open[reservation] = {resource: delta}
        return reservation

    def require_volume_size(self, project_id: str, gib: int) -> None:
        if 0 <= self.largest < gib:
            raise errors.OverQuota(f"{gib} GiB are too many")

    def reserve_for(self, resource: Record, amounts: Mapping[str, int]) -> None:
        wanted = {name: delta for name, delta in amounts.items() if delta}
        if resource.id not in self.open and wanted:
            if resource.project_id == "poor":
                raise errors.OverQuota("nothing is left")
            self.open[resource.id] = wanted

    def commit(self, ids: Sequence[str]) -> None:
        self.settle(ids, used=True)

    def rollback(self, ids: Sequence[str]) -> None:
        self.settle(ids, used=False)

    def settle(self, ids: Sequence[str], *, used: bool) -> None:
        for reservation in ids:
            for resource, delta in self.open.pop(reservation, {}).items():
                self.used[resource] += delta if used else 0

    def release(self, amounts: Mapping[str, int] | None) -> None:
        for resource, amount in (amounts or {}).items():
            if resource in self.used:
                self.used[resource] -= amount


class Table:
    """Rows by id, with columns that are checked."""

    def __init__(self, kind: str, columns: frozenset[str], gone: type[errors.NotFound]) -> None:
        self.kind, self.columns, self.gone = kind, columns, gone
        self.rows: dict[str, dict[str, Any]] = {}

    def live(self, row_id: str) -> dict[str, Any]:
        row = self.rows.get(row_id)
        if row is None or row["deleted"]:
            raise self.gone(f"{self.kind} {row_id} does not exist")
        return row

    def insert(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        self._check(columns)
        row = {**dict.fromkeys(self.columns), "id": str(uuid.uuid4()), "deleted": False, **columns}
        return self.rows.setdefault(row["id"], row)

    def write(self, row_id: str, columns: Mapping[str, Any]) -> None:
        row = self.live(row_id)
        self._check(columns)
        row.update(columns)

    def change(
        self, row_id: str, to: str, when: Collection[str], columns: Mapping[str, Any]
    ) -> None:
        row, wanted = self.live(row_id), {**columns, "status": to}
        self._check(columns)
        if row["status"] in when:
            row.update(wanted)
            return
        same = (
            isinstance(value, datetime.datetime) or row[name] == value
            for name, value in wanted.items()
        )
        if not all(same):
            raise errors.StatusChanged(f"{self.kind} {row_id}", row["status"], when)

    def is_in(self, row_id: str, statuses: Collection[str]) -> bool:
        return self.live(row_id)["status"] in statuses

    def of(self, **equal: Any) -> list[dict[str, Any]]:
        rows = (row for row in self.rows.values() if not row["deleted"])
        return [row for row in rows if all(row[k] == v for k, v in equal.items())]

    def _check(self, columns: Mapping[str, Any]) -> None:
        for name, value in columns.items():
            if name not in self.columns:
                raise ValueError(f"{self.kind}.{name}: there is no such column")
            if not isinstance(value, str | int | datetime.datetime | None):
                raise ValueError(f"{self.kind}.{name}: does not take {type(value).__name__}")
            if isinstance(value, str) and len(value) > LONGEST and name != "connector":
                raise ValueError(f"{self.kind}.{name}: too long")


class Database:
    """All tables, and the shared parts of records."""

    def __init__(self) -> None:
        self.volumes = Table("volume", VOLUME, errors.VolumeNotFound)
        self.snapshots = Table("snapshot", SNAPSHOT, errors.SnapshotNotFound)
        self.attachments = Table("attachment", ATTACHMENT, errors.VolumeAttachmentNotFound)
        gone = {"group": errors.GroupNotFound, "consistencygroup": errors.GroupNotFound}
        self.groups = {
            kind: Table(kind, columns, gone.get(kind, errors.GroupSnapshotNotFound))
            for kind, columns in GROUPS.items()
        }
        self.group_type: dict[str, Any] | None = None
        self.quota = Quota()
        self.work: dict[tuple[str, str], str | int] = {}
        """Work rows: who may do the work, or the mark of the operation that does it."""
        self.pairs: dict[tuple[str, str], dict[str, Any]] = {}
        self.types: dict[str, dict[str, Any]] = {}
        self.qos: dict[str, dict[str, Any]] = {}
        self.image_metadata_fails = False
        self.image_cache: list[dict[str, Any]] = []

    def volume(self, row: Mapping[str, Any]) -> Record:
        name_id = row["_name_id"] or row["id"]
        return Record(
            "volume",
            {**row, "name_id": name_id, "name": f"volume-{name_id}"},
            {
                "volume_type": lambda: self._type(row["volume_type_id"]),
                "glance_metadata": lambda: dict(self.pairs.get(("image", row["id"]), {})),
                "metadata": lambda: dict(self.pairs.get(("metadata", row["id"]), {})),
                "admin_metadata": lambda: dict(self.pairs.get(("admin_metadata", row["id"]), {})),
            },
        )

    def snapshot(self, row: Mapping[str, Any]) -> Record:
        return Record(
            "snapshot",
            {**row, "name": f"snapshot-{row['id']}", "volume_name": f"volume-{row['volume_id']}"},
            {"volume": lambda: self.volume(self.volumes.live(row["volume_id"]))},
        )

    def group(self, kind: str, row: Mapping[str, Any]) -> Record:
        loaders: dict[str, Any] = {"volume_type_ids": lambda: ["t1"]}
        if kind in ("group_snapshot", "cgsnapshot"):
            of = "group" if kind == "group_snapshot" else "consistencygroup"
            loaders[of] = lambda: self.group(of, self.groups[of].live(row[f"{of}_id"]))
        if kind == "group":
            found = self.group_type
            loaders["group_type"] = lambda: found and Record("group_type", found)
        return Record(kind, row, loaders)

    def _type(self, type_id: str | None) -> Record | None:
        found = self.types.get(type_id or "")
        return None if found is None else Record("volume_type", {"id": type_id, **found})
