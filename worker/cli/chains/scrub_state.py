# SPDX-License-Identifier: Apache-2.0
"""Times at which backups were scrubbed, and the damage that was found, in a file of the host."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.cli.access import CommandError

if TYPE_CHECKING:
    from drivers.interface.records import Record
    from worker.cli.access import Access


class ScrubState:
    """The file; a missing or unreadable one says that nothing was read yet."""

    def __init__(self, state_path: str) -> None:
        self._path = Path(state_path) / "scrub.json"
        self._read_at: dict[str, float] = {}
        self._damaged: dict[str, list[str]] = {}
        self._spared: dict[str, list[str]] = {}
        try:
            found = json.loads(self._path.read_text())["backups"]
            for key, one in found.items():
                self._read_at[key] = float(one["read_at"])
                self._damaged[key] = [str(name) for name in one["damaged"]]
                self._spared[key] = [str(name) for name in one.get("spared", ())]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return

    def oldest_first(self, backups: Iterable[Record]) -> list[Record]:
        """Return backups in the order in which they are to be read."""
        return sorted(
            backups, key=lambda one: (self._read_at.get(one.id, 0.0), one.created_at, one.id)
        )

    def note(self, backup_id: str, damaged: Sequence[str], spared: Sequence[str] = ()) -> None:
        """Note that a backup was read.

        :param damaged: names of its damaged objects.
        :param spared: ids of backups that build on it and need none of these objects.
        """
        self._read_at[backup_id] = time.time()
        self._damaged[backup_id] = list(damaged)
        self._spared[backup_id] = sorted(spared)

    def damaged(self, children: Callable[[str], Sequence[str]]) -> set[str]:
        """Return the ids of backups with known damage: their own, or of one that they build on.

        One that was made after its parent was read counts as damaged, unless that is spared.

        :param children: returns the ids of the backups that build on one.
        """
        found = set[str]()
        for first in (one for one, names in self._damaged.items() if names):
            spared, left, seen = set(self._spared[first]), [first], set[str]()
            while left:
                if (one := left.pop()) not in seen and one not in spared:
                    seen.add(one)
                    left += children(one)
            found |= seen
        return found

    def write(self, known: Iterable[str]) -> None:
        """Replace the file. :raises CommandError: it cannot be written.

        :param known: ids of all backups; others are forgotten.
        """
        kept: dict[str, Any] = {
            one: {
                "read_at": self._read_at[one],
                "damaged": self._damaged[one],
                "spared": self._spared[one],
            }
            for one in sorted(set(known) & self._read_at.keys())
        }
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_text(json.dumps({"backups": kept}, indent=1))
            os.replace(temporary, self._path)
        except OSError as error:
            text = f"{self._path} cannot be written: {error.strerror}"
            raise CommandError(f"{text}; run this as the user of the service") from error


def known_damage(access: Access) -> set[str]:
    """Return the ids of backups that the scrubs of this host know to be damaged."""
    state = ScrubState(str(access.conf.state_path))
    return state.damaged(access.records.backups.dependants)
