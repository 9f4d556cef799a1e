# SPDX-License-Identifier: Apache-2.0
"""Give the resources of a host another one, after it was renamed or has ended for good.

Implements ``holdfast volume|group|backup update-host``. Pools stay, and volumes get the uuid of the
service of their new host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from worker.db import models
from worker.db.criteria import host_parameters, on_host, same
from worker.db.database import Database

_V, _S = models.volumes, models.services

_GROUPS = (models.groups, models.consistencygroups)

TABLES: Mapping[str, tuple[sa.Table, ...]] = {
    "volume": (_V, *_GROUPS, models.image_volume_cache_entries),
    "group": _GROUPS,
    "backup": (models.backups,),
}
"""Tables whose rows change, by the noun of the command."""

_VOLUME_SERVICES = sa.select(_S.c.host, _S.c.uuid).where(
    _S.c.binary == "cinder-volume", _S.c.deleted == sa.false(), _S.c.uuid.is_not(None)
)


class HostNames:
    """The names of hosts in the rows of resources, as an operator changes them."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def count(self, noun: str, name: str) -> dict[str, int]:
        """Return how many rows of each table are of a host."""

        def work(connection: sa.Connection) -> dict[str, int]:
            found = {}
            for table in TABLES[noun]:
                query = sa.select(sa.func.count()).select_from(table).where(_of(table, noun))
                found[table.name] = int(connection.scalar(query, _named(noun, name)) or 0)
            return found

        return self._db.read(work)

    def rename(self, noun: str, name: str, to: str) -> dict[str, int]:
        """Change the host of live rows; return how many rows of each table were changed.

        :param name: a node, a backend, or a pool; a node has its backends, a backend its pools.
        :param to: a name of the same kind; a pool may be given for a backend without pools.
        """

        def work(connection: sa.Connection) -> dict[str, int]:
            changed = {}
            for table in TABLES[noun]:
                rest = sa.func.substr(table.c.host, len(name) + 1, type_=sa.String())
                host = sa.literal(to) if "#" in to else sa.literal(to) + rest
                change = sa.update(table).where(_of(table, noun)).values(host=host)
                changed[table.name] = connection.execute(change, _named(noun, name)).rowcount
            if noun == "volume":
                _follow(connection, to)
            return changed

        return self._db.write(work)


def _of(table: sa.Table, noun: str) -> sa.ColumnElement[bool]:
    """Match the live rows of a host; the host of a backup has no backend."""
    named = same(table.c.host, "at") if noun == "backup" else on_host(table.c.host)
    return sa.and_(named, table.c.deleted == sa.false()) if "deleted" in table.c else named


def _named(noun: str, name: str) -> dict[str, str]:
    return {"at": name} if noun == "backup" else host_parameters(name)


def _follow(connection: sa.Connection, to: str) -> None:
    """Write the services of the new hosts into the rows of their volumes."""
    backend = to.partition("#")[0]
    for host, uuid in _services(connection, backend):
        change = sa.update(_V).where(
            on_host(_V.c.host),
            _V.c.deleted == sa.false(),
            sa.or_(_V.c.service_uuid.is_(None), _V.c.service_uuid != uuid),
        )
        connection.execute(change.values(service_uuid=uuid), host_parameters(host))


def _services(connection: sa.Connection, name: str) -> Iterable[tuple[str, str]]:
    rows = connection.execute(_VOLUME_SERVICES).all()
    return [(host, uuid) for host, uuid in rows if host == name or host.startswith(f"{name}@")]
