# SPDX-License-Identifier: Apache-2.0
"""Files that change their type, or move to the directory of another backend of this host.

A file is the same whatever its type says. It moves in one step, without a copy, where the
other backend keeps its files in the same file system, as ``location_info`` shows.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.interface.export import ExportDriver
from drivers.interface.optional import Update
from drivers.interface.records import Record
from drivers.volume.file_errors import explained
from drivers.volume.files import Directory
from drivers.volume.in_use import require_unused


def location_info(files: Directory) -> str:
    """Return the location of the files, for other backends of this host."""
    return f"LocalDriver:{socket.gethostname()}:{files.path}"


class MovedFiles:
    """The part of a driver of files that lets volumes change type and backend."""

    _files: Directory
    _export: ExportDriver | None

    def retype(
        self,
        context: Any,
        volume: Record,
        new_type: Record,
        diff: Mapping[str, Any],
        host: Mapping[str, Any],
    ) -> bool:
        """Nothing of a type is kept in a file but how its data is encrypted."""
        return not diff.get("encryption")

    def migrate_volume(
        self, context: Any, volume: Record, host: Mapping[str, Any]
    ) -> tuple[bool, Update]:
        """Rename the file into the other directory, unless it has snapshots beside it."""
        place = _directory(host)
        if place is None or any(n.startswith(f"{volume.name}@") for n in self._files.names()):
            return False, None
        with explained(self._files, f"move volume {volume.id} to {place}"):
            require_unused(self._files, self._export, volume)
            return self._files.move(volume.name, place), None


def _directory(host: Mapping[str, Any]) -> Path | None:
    """Return the directory of a backend of our kind on this host; None for any other."""
    capabilities = host.get("capabilities")
    found = capabilities.get("location_info") if isinstance(capabilities, Mapping) else None
    kind, _, rest = str(found or "").partition(":")
    node, _, path = rest.partition(":")
    ours = kind == "LocalDriver" and node == socket.gethostname() and path.startswith("/")
    return Path(path) if ours else None
