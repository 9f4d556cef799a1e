# SPDX-License-Identifier: Apache-2.0
"""List the files of a directory of volumes as the objects of a backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from oslo_utils import units

from drivers.interface.export import ExportDriver
from drivers.interface.listing import SNAPSHOT, VOLUME, BackendObject
from drivers.interface.optional import Reporting
from drivers.interface.records import Record
from drivers.volume.files import Directory


class ListedFiles(Reporting):
    """The part of a driver of files that lists them."""

    _files: Directory
    _export: ExportDriver | None

    def list_objects(
        self, volumes: Iterable[Record], snapshots: Iterable[Record]
    ) -> Iterator[BackendObject]:
        """List the files; one with an ``@`` is a snapshot."""
        for name, entry in self._files.entries().items():
            volume, at, _snapshot = name.partition("@")
            size = -(-entry.st_size // units.Gi)
            if at:
                yield BackendObject(SNAPSHOT, name, size, volume_name=volume)
            else:
                yield BackendObject(VOLUME, name, size, consumers=self._consumers(name))

    def _consumers(self, name: str) -> tuple[str, ...] | None:
        found = None if self._export is None else self._export.consumers(name)
        return None if found is None else tuple(found)
