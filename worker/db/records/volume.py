# SPDX-License-Identifier: Apache-2.0
"""Volumes: implements :class:`flows.context.VolumeRecords`."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from drivers.interface.records import Record
from flows.errors import VolumeNotFound
from worker.db import models
from worker.db.engine import Database
from worker.db.records import base, quota, types
from worker.db.records.base import Rows

_T = models.volumes

_BELONGINGS = {
    "metadata": models.volume_metadata,
    "admin": models.volume_admin_metadata,
    "image": models.volume_glance_metadata,
    "attachments": models.volume_attachment,
    "transfers": models.transfers,
    "snapshots": models.snapshots,
}
"""What is soft-deleted along with a volume (spec/schema §3)."""


def _live(table: sa.Table) -> sa.Exists:
    return sa.exists().where(table.c.volume_id == _T.c.id, table.c.deleted == sa.false())


_BEFORE_DESTROY = sa.select(
    _T.c.project_id,
    _T.c.volume_type_id,
    *(_live(table).label(name) for name, table in _BELONGINGS.items()),
).where(_T.c.id == sa.bindparam("which"), _T.c.deleted == sa.false())


class Volumes:
    """Rows of ``volumes``.

    :param name_template: makes a volume's name on the backend out of its name id.
    :param default_type: name of the type of volumes that are created without one.
    """

    def __init__(self, database: Database, *, name_template: str, default_type: str) -> None:
        self._db = database
        self._rows = Rows(database, _T, "volume", VolumeNotFound, "Volume")
        self._template = name_template
        self._default_type = default_type

    def get(self, volume_id: str) -> Record:
        """Return the live row."""
        return self.record(self._db.read(lambda c: self._rows.fetch(c, volume_id)))

    def create(self, **columns: Any) -> Record:
        """Insert a row; an existing one of that id is returned as it is."""
        volume_id = columns.setdefault("id", str(uuid.uuid4()))
        metadata = columns.pop("metadata", None)
        checked = self._rows.checked(columns)

        def work(connection: sa.Connection) -> None:
            if connection.execute(sa.select(_T.c.id).where(_T.c.id == volume_id)).first():
                return
            if not checked.get("volume_type_id"):
                checked["volume_type_id"] = types.id_of(connection, self._default_type)
            defaults = {"attach_status": "detached", "bootable": False, "multiattach": False}
            self._rows.insert(connection, {**defaults, "use_quota": True, **checked})
            if metadata:
                self._set_pairs(connection, volume_id, models.volume_metadata, metadata)

        self._db.write(work)
        return self.get(volume_id)

    def update(self, volume_id: str, **columns: Any) -> None:
        """Write columns; ``metadata`` and ``admin_metadata`` replace all keys."""
        sets = {
            models.volume_metadata: columns.pop("metadata", None),
            models.volume_admin_metadata: columns.pop("admin_metadata", None),
        }
        checked = self._rows.checked(columns)

        def work(connection: sa.Connection) -> None:
            self._rows.set_columns(connection, volume_id, checked)
            for table, wanted in sets.items():
                if wanted is not None:
                    self._set_pairs(connection, volume_id, table, wanted)

        self._db.write(work)

    def transition(
        self,
        volume_id: str,
        to: str,
        *,
        when: Collection[str],
        commit: Sequence[str] = (),
        rollback: Sequence[str] = (),
        done: bool = False,
        **columns: Any,
    ) -> None:
        """Change the status by compare-and-set."""
        checked = self._rows.checked(columns)

        def work(connection: sa.Connection) -> None:
            self._rows.change_status(connection, volume_id, to, when, checked, done)
            if commit:
                quota.settle(connection, commit, used=True)
            if rollback:
                quota.settle(connection, rollback, used=False)

        self._db.write(work)

    def destroy(self, volume_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the volume and what belongs to it, and give its quota back."""

        def work(connection: sa.Connection) -> bool:
            found = connection.execute(_BEFORE_DESTROY, {"which": volume_id}).mappings().first()
            if found is None:
                base.drop_work(connection, "Volume", volume_id)
                return False
            if not self._rows.soft_delete(
                connection, volume_id, status="deleted", migration_status=None
            ):
                return False
            for name, table in _BELONGINGS.items():
                if found[name]:
                    _delete_belongings(connection, table, volume_id)
            if release:
                project, kind = found["project_id"], found["volume_type_id"]
                quota.release(connection, project, kind, release)
            base.drop_work(connection, "Volume", volume_id)
            return True

        return self._db.write(work)

    def pop_admin_metadata(self, volume_id: str, key: str) -> None:
        """Remove one key of the admin metadata."""
        table = models.volume_admin_metadata

        def work(connection: sa.Connection) -> None:
            wanted = base.pairs(connection, table, "volume_id", volume_id)
            if wanted.pop(key, None) is not None:
                self._set_pairs(connection, volume_id, table, wanted)

        self._db.write(work)

    def set_admin_metadata(self, volume_id: str, **pairs: str) -> None:
        """Set some keys of the admin metadata."""
        table = models.volume_admin_metadata
        self._db.write(
            lambda c: base.set_pairs(c, table, "volume_id", volume_id, pairs, keep_others=True)
        )

    def copy_image_metadata(
        self,
        volume_id: str,
        *,
        from_volume: str | None = None,
        from_snapshot: str | None = None,
    ) -> None:
        """Copy image metadata rows of a volume or snapshot to this volume."""
        table = models.volume_glance_metadata
        owner = "volume_id" if from_volume else "snapshot_id"

        def work(connection: sa.Connection) -> None:
            found = base.pairs(connection, table, owner, str(from_volume or from_snapshot))
            base.set_pairs(connection, table, "volume_id", volume_id, found, keep_others=True)

        self._db.write(work)

    def qos(self, volume_type_id: str | None) -> dict[str, Any] | None:
        """Return the quality of service of a type."""
        if not volume_type_id:
            return None
        return self._db.read(lambda c: types.qos(c, volume_type_id))

    def on_host(self, host: str) -> Iterator[Record]:
        """Yield the live volumes of ``host@backend``, in any pool."""
        wanted = sa.select(_T).where(_T.c.deleted == sa.false(), on_host(_T, host))
        rows = self._db.read(lambda c: [dict(row) for row in c.execute(wanted).mappings()])
        # MySQL compares without case, and the hosts of two backends may differ in nothing else.
        return (self.record(row) for row in rows if row["host"].startswith(host))

    def list(self, **where: Any) -> list[Record]:
        """Return live volumes by equal columns, the newest first."""
        return [self.record(row) for row in listed(self._db, _T, where)]

    def allocated_by_pool(self, host: str) -> dict[str, int]:
        """Return GiB of live volumes per pool of ``host@backend``."""
        size = sa.func.coalesce(sa.func.sum(_T.c.size), 0).label("gib")
        wanted = (
            sa.select(_T.c.host, size)
            .where(_T.c.deleted == sa.false(), on_host(_T, host))
            .group_by(_T.c.host)
        )
        rows = self._db.read(lambda c: c.execute(wanted).all())
        return {row.host.partition("#")[2] or host.partition("@")[2]: int(row.gib) for row in rows}

    def record(self, row: Mapping[str, Any]) -> Record:
        """Return a row as flows and drivers see it."""
        volume_id = row["id"]
        name_id = row["_name_id"] or volume_id
        fields = {**row, "name_id": name_id, "name": self._template % name_id}
        read = functools.partial(self._pairs, volume_id)
        return Record(
            "volume",
            fields,
            {
                "volume_type": lambda: self._db.read(lambda c: types.get(c, row["volume_type_id"])),
                "metadata": lambda: read(models.volume_metadata),
                "admin_metadata": lambda: read(models.volume_admin_metadata),
                "glance_metadata": lambda: read(models.volume_glance_metadata),
                "volume_attachment": lambda: self._attachments(volume_id),
            },
        )

    def _pairs(self, volume_id: str, table: sa.Table) -> dict[str, str]:
        return self._db.read(lambda c: base.pairs(c, table, "volume_id", volume_id))

    def _attachments(self, volume_id: str) -> list[Record]:
        table = models.volume_attachment
        rows = listed(self._db, table, {"volume_id": volume_id})
        return [Record("attachment", row) for row in rows]

    def _set_pairs(
        self,
        connection: sa.Connection,
        volume_id: str,
        table: sa.Table,
        wanted: Mapping[str, Any],
    ) -> None:
        base.set_pairs(connection, table, "volume_id", volume_id, wanted, keep_others=False)


def on_host(table: sa.Table, host: str) -> sa.ColumnElement[bool]:
    """Match ``host@backend`` alone or with any pool, by case (spec/service §1)."""
    column = table.c.host
    return sa.or_(column == host, column.startswith(f"{host}#", autoescape=True))


def listed(database: Database, table: sa.Table, where: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return live rows by equal columns, the newest first."""
    equal = [table.c[name] == value for name, value in where.items()]
    wanted = sa.select(table).where(table.c.deleted == sa.false(), *equal)
    ordered = wanted.order_by(table.c.created_at.desc(), table.c.id)
    return database.read(lambda c: [dict(row) for row in c.execute(ordered).mappings()])


def _delete_belongings(connection: sa.Connection, table: sa.Table, volume_id: str) -> None:
    values: dict[str, Any] = {"deleted": True, "deleted_at": timeutils.utcnow()}
    if table is models.volume_attachment:
        values["attach_status"] = "detached"
    connection.execute(
        sa.update(table)
        .where(table.c.volume_id == volume_id, table.c.deleted == sa.false())
        .values(values)
    )
