# SPDX-License-Identifier: Apache-2.0
"""What lives on one backend: implements :class:`flows.records.HostRecords`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from drivers.interface.records import Record
from worker.db import models
from worker.db.criteria import host_parameters, on_host
from worker.db.engine import Database
from worker.db.records.group import Groups
from worker.db.records.snapshot import Snapshots
from worker.db.records.volume import Volumes

_G = models.groups

_GROUPS = sa.select(_G).where(_G.c.deleted == sa.false(), on_host(_G.c.host)).order_by(_G.c.id)
_REPLICATION = ("group_replication_enabled", "consistent_group_replication_enabled")
_YES = "<is> True"


class HostRecords:
    """The rows of a backend.

    :param host: ``host@backend``.
    """

    def __init__(
        self,
        database: Database,
        host: str,
        volumes: Volumes,
        snapshots: Snapshots,
        groups: Groups,
    ) -> None:
        self._db = database
        self._host = host
        self._volumes = volumes
        self._snapshots = snapshots
        self._groups = groups

    def volumes(self) -> Iterator[Record]:
        """Return the live volumes."""
        return self._volumes.on_host(self._host)

    def replicated_groups(self) -> Iterable[Record]:
        """Return the live groups whose type asks for replication."""
        rows = self._db.rows(_GROUPS, host_parameters(self._host))
        groups = (self._groups.record(row._asdict()) for row in rows)
        return [group for group in groups if _is_replicated(group)]


def _is_replicated(group: Record) -> bool:
    kind = group.group_type
    return kind is not None and any(kind.group_specs.get(key) == _YES for key in _REPLICATION)
