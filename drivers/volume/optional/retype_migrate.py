# SPDX-License-Identifier: Apache-2.0
"""Files that change their type, or move to the directory of another backend of this host.

A file is the same whatever its type says. It moves in one step, without a copy, where the
other backend keeps its files in the same file system, as ``location_info`` shows.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.interface.export import ExportDriver
from drivers.interface.optional import FILES_MARKER, Update
from drivers.interface.records import Record
from drivers.volume.file_errors import explained
from drivers.volume.files import Directory
from drivers.volume.in_use import require_unused

_MARK_MAX = 4096
"""Most bytes of a marker."""


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
    """Return the directory of a backend of our kind on this host; None for any other.

    Capabilities come from the bus. A volume moves only into a directory that the backend of
    that name has marked as its own.
    """
    capabilities = host.get("capabilities")
    found = capabilities.get("location_info") if isinstance(capabilities, Mapping) else None
    kind, _, rest = str(found or "").partition(":")
    node, _, path = rest.partition(":")
    if kind != "LocalDriver" or node != socket.gethostname() or not path.startswith("/"):
        return None
    place, backend = Path(path), str(host.get("host")).partition("#")[0]
    return place if _marked_by(place) == backend else None


def _marked_by(place: Path) -> str | None:
    """Return the backend that has marked a directory of this user as its own."""
    try:
        entry = place.stat()
        if entry.st_uid != os.geteuid() or entry.st_mode & 0o002:
            return None
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(place / FILES_MARKER, flags)
        with open(fd, "rb") as file:
            return str(json.loads(file.read(_MARK_MAX))["backend"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
