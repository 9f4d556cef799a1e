# SPDX-License-Identifier: Apache-2.0
"""The backup that a new incremental one builds on."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from flows.statuses import BackupStatus
from worker.cli.chains.own_store import OwnStore
from worker.cli.chains.retention import moment_of

if TYPE_CHECKING:
    from drivers.interface.records import Record
    from worker.cli.access import Access


class Parents:
    """Backups on which a backup service can build.

    :param host: of the service; this host knows of its own store whether others share it, of
        another host only the backups that name it.
    """

    def __init__(self, access: Access, host: str) -> None:
        self._access = access
        self._host = host

    def newest(
        self, volume: Record, snapshot: Record | None, excluded: Collection[str] = ()
    ) -> Record | None:
        """Return the newest backup of a volume that can be built on; None where there is none.

        :param snapshot: the source: the data of the parent has to be older.
        :param excluded: ids of backups that are not to be built on.
        """
        status = BackupStatus.AVAILABLE
        rows = self._access.records.backups.list(volume_id=volume.id, status=status)
        here = OwnStore(self._access) if self._host == self._access.conf.host else None
        found = [
            one
            for one in rows
            if one.id not in excluded
            and (here.is_here(one) if here else one.host == self._host)
            and (snapshot is None or moment_of(one) < snapshot.created_at)
        ]
        return max(found, key=moment_of, default=None)
