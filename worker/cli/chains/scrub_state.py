# SPDX-License-Identifier: Apache-2.0
"""Times at which backups were scrubbed, in a file of the host."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.cli.access import CommandError

if TYPE_CHECKING:
    from drivers.interface.records import Record


class ScrubState:
    """The file; a missing or unreadable one says that nothing was read yet."""

    def __init__(self, state_path: str) -> None:
        self._path = Path(state_path) / "scrub.json"
        self._read_at: dict[str, float] = {}
        self._damaged: dict[str, list[str]] = {}
        try:
            found = json.loads(self._path.read_text())["backups"]
            for key, one in found.items():
                self._read_at[key] = float(one["read_at"])
                self._damaged[key] = [str(name) for name in one["damaged"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return

    def oldest_first(self, backups: Iterable[Record]) -> list[Record]:
        """Return backups in the order in which they are to be read."""
        return sorted(
            backups, key=lambda one: (self._read_at.get(one.id, 0.0), one.created_at, one.id)
        )

    def note(self, backup_id: str, damaged: Sequence[str]) -> None:
        """Note that a backup was read."""
        self._read_at[backup_id] = time.time()
        self._damaged[backup_id] = list(damaged)

    def write(self, known: Iterable[str]) -> None:
        """Replace the file. :raises CommandError: it cannot be written.

        :param known: ids of all backups; others are forgotten.
        """
        kept: dict[str, Any] = {
            one: {"read_at": self._read_at[one], "damaged": self._damaged[one]}
            for one in sorted(set(known) & self._read_at.keys())
        }
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_text(json.dumps({"backups": kept}, indent=1))
            os.replace(temporary, self._path)
        except OSError as error:
            text = f"{self._path} cannot be written: {error.strerror}"
            raise CommandError(f"{text}; run this as the user of the service") from error
