# SPDX-License-Identifier: Apache-2.0
"""List the backups in a store by the names of their objects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from drivers.backup.format.layout import METADATA
from drivers.backup.stores.object_store import ObjectStore
from drivers.interface.backup import BackupDriver

_ID = re.compile(r"(?:^|[_/])([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$")


class StoredList(BackupDriver):
    """The part of a driver of a store of objects that lists backups."""

    _store: ObjectStore

    def list_backups(self, containers: Iterable[str]) -> Iterator[str]:
        """Yield the id of each backup whose metadata is there, which is written last."""
        for container in sorted({*self._store.containers(), *containers}):
            for name, _size in self._store.listed(container, ""):
                head = name.removesuffix(METADATA)
                if head != name and (found := _ID.search(head)):
                    yield found[1]
