# SPDX-License-Identifier: Apache-2.0
"""The places that an audit compares, and one look at them.

Lists are read by pages. Of the objects on a backend only ids, sizes and consumers are kept.
Nothing is locked, and no transaction is open, while a service is asked.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from drivers.interface.listing import SNAPSHOT, BackendObject
from flows.statuses import BackupStatus
from worker.db import models
from worker.db.criteria import BackendRows, on_host
from worker.db.database import Database
from worker.db.records.volumes.volume import named_by
from worker.journal.journal import Journal

LOG = logging.getLogger(__name__)

BATCH = 500
"""Ids in one condition."""

PAGE = 5_000
"""Rows of one page: a database may sort all rows of a backend for each page."""

_TEMPORARY = re.compile(r"(?:clone|revert)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Names of the objects of :mod:`flows.volume.data.temporary_objects`."""


_B = models.backups
_CONTAINERS = (
    sa.select(_B.c.container)
    .where(_B.c.deleted == sa.false(), _B.c.container.is_not(None))
    .distinct()
)
_ANY_BACKUP = (
    sa.select(_B.c.id)
    .where(_B.c.deleted == sa.false(), _B.c.host == sa.bindparam("at"))
    .where(_B.c.status == BackupStatus.AVAILABLE)
    .limit(1)
)


class Unable(Exception):
    """A place could not be read; the text has the reason."""


@dataclass(frozen=True)
class AuditedBackend:
    """A backend.

    :param rows: the names by which its rows are found.
    :param objects: lists its objects. :raises Unable: it cannot at present.
    """

    rows: BackendRows
    objects: Callable[[], Iterable[BackendObject]]

    @property
    def host(self) -> str:
        """The name of the backend in rows, without a pool."""
        return self.rows.name


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The places.

    :param journal: of the services whose backends are audited.
    :param volume_names: the template of the names of volumes on the backend.
    :param snapshot_names: the template of the names of snapshots.
    :param lock_files: the directory of lock files; None for locks on a server.
    :param served: the hosts of the services of this configuration; empty where it is unknown.
    :param backup_host: the host whose backups are audited; None without a backup service.
    :param backup_services: the names of the store in rows of backups; empty for any.
    :param stored_backups: lists the ids of backups in the store. :raises Unable: it cannot.
    :param count_snapshots: whether snapshots count as gigabytes.
    """

    database: Database
    journal: Journal
    backends: Sequence[AuditedBackend] = ()
    volume_names: str = "volume-%s"
    snapshot_names: str = "snapshot-%s"
    lock_files: Path | None = None
    served: Collection[str] = ()
    backup_host: str | None = None
    backup_services: Collection[str] = ()
    stored_backups: Callable[[Iterable[str]], Iterable[str]] | None = None
    count_snapshots: bool = True


@dataclass
class ObjectIndex:
    """The objects of a backend, by the ids in their names.

    :param sizes: GiB of each volume, by its id.
    :param consumers: the hosts with access, of volumes that have some.
    :param exports_known: whether the backend lists consumers.
    :param snapshots: the ids of snapshots, each with the id of its volume.
    :param qualified: whether names of snapshots follow the name of their volume and an ``@``.
    :param temporary: the temporary objects.
    """

    sizes: dict[str, int | None] = field(default_factory=dict)
    consumers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    exports_known: bool = False
    snapshots: dict[str, str | None] = field(default_factory=dict)
    qualified: bool = False
    temporary: list[BackendObject] = field(default_factory=list)


class Look:
    """One look at all places; each backend is asked once, when a kind first needs it.

    :param unable: gets the reason of each place that could not be read.
    """

    def __init__(self, sources: Sources, unable: dict[str, str]) -> None:
        self.sources = sources
        self._unable = unable
        self._volume = named_by(sources.volume_names)
        self._snapshot = named_by(sources.snapshot_names)

    @functools.cached_property
    def _listed(self) -> Sequence[tuple[AuditedBackend, ObjectIndex]]:
        found = []
        for backend in self.sources.backends:
            try:
                found.append((backend, self._index(backend.objects())))
            except Unable as error:
                self._unable[backend.host] = str(error)
        return found

    @functools.cached_property
    def _stored(self) -> set[str] | None:
        sources = self.sources
        if sources.stored_backups is None or sources.backup_host is None:
            return None
        try:
            found = set(sources.stored_backups([row.container for row in self.rows(_CONTAINERS)]))
            if not found and self.rows(_ANY_BACKUP, {"at": sources.backup_host}):
                raise Unable("it lists no backup at all: is it mounted, and the right one?")
        except Unable as error:
            self._unable["the store of backups"] = str(error)
            return None
        return found

    def stored(self) -> set[str] | None:
        """Return the ids of the backups in the store; None where it cannot be read."""
        return self._stored

    def listed(self) -> Iterable[tuple[AuditedBackend, ObjectIndex]]:
        """Return the backends that could list their objects, with these."""
        return self._listed

    def rows(
        self, statement: sa.Select[Any], parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """Return the rows of a query, of which there are few."""
        return self.sources.database.rows(statement, parameters)

    def on(
        self, backend: AuditedBackend, statement: sa.Select[Any], owner: sa.Table = models.volumes
    ) -> Sequence[Any]:
        """Return the rows of a query that belong to a backend.

        :param owner: the table of the query that has the name of the backend.
        """
        condition = on_host(owner.c[backend.rows.column])
        return self.rows(statement.where(condition), backend.rows.parameters)

    def on_backends(
        self, statement: sa.Select[Any], owner: sa.Table = models.volumes
    ) -> Iterator[tuple[AuditedBackend, Any]]:
        """Yield the rows of a query that belong to the audited backends."""
        for backend in self.sources.backends:
            for row in self.on(backend, statement, owner):
                yield backend, row

    def pages(
        self, backend: AuditedBackend, statement: sa.Select[Any], key: sa.Column[Any]
    ) -> Iterator[Any]:
        """Yield the rows of a long query of volumes on a backend, some at a time."""
        condition = on_host(models.volumes.c[backend.rows.column])
        wanted = statement.where(condition, key > sa.bindparam("after")).order_by(key).limit(PAGE)
        parameters = {**backend.rows.parameters, "after": ""}
        while found := self.rows(wanted, parameters):
            yield from found
            parameters["after"] = found[-1].id

    def by_ids(
        self, statement: sa.Select[Any], column: sa.ColumnElement[Any], ids: Iterable[str]
    ) -> Iterator[Any]:
        """Yield the rows whose column is one of some ids, some at a time."""
        wanted = statement.where(column.in_(sa.bindparam("ids", expanding=True)))
        every = list(ids)
        for start in range(0, len(every), BATCH):
            yield from self.rows(wanted, {"ids": every[start : start + BATCH]})

    def _index(self, objects: Iterable[BackendObject]) -> ObjectIndex:
        found = ObjectIndex()
        for one in objects:
            of_volume, _at, name = one.name.rpartition("@")
            if one.consumers is not None:
                found.exports_known = True
            if _TEMPORARY.fullmatch(name):
                found.temporary.append(one)
            elif one.kind == SNAPSHOT:
                if of_volume and _id(self._volume, of_volume) is None:
                    continue  # of another owner, or unmanaged
                if (snapshot_id := one.owner or _id(self._snapshot, name)) is not None:
                    found.qualified |= bool(of_volume)
                    found.snapshots[snapshot_id] = _id(self._volume, one.volume_name or "")
            elif (volume_id := one.owner or _id(self._volume, one.name)) is not None:
                found.sizes[volume_id] = one.size
                if one.consumers:
                    found.consumers[volume_id] = one.consumers
        return found


def _id(pattern: re.Pattern[str], name: str) -> str | None:
    found = pattern.fullmatch(name)
    return None if found is None else found[1].lower()
