# SPDX-License-Identifier: Apache-2.0
"""The plan for one operation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """One operation's fate.

    :param broken_step: a step that fails when it is done, or ``broken_at_once``.
    :param broken_call: a method of the driver that fails.
    :param stop: the name of the point where it stops; empty for none.
    :param stop_after: or the number of points that it passes before it stops, in
        the life of one process.
    :param lost_commit: the name of its commit whose answer is lost; empty for none.
    :param record: whether the states of its journal entry are recorded.
    """

    broken_step: str = ""
    broken_at_once: bool = False
    broken_call: str = ""
    stop: str = ""
    stop_after: int | None = None
    lost_commit: str = ""
    record: bool = False

    def stops(self, point: str, number: int) -> bool:
        """Say whether the operation stops at its point of this name and number."""
        return point == self.stop or number == self.stop_after

    def save(self, path: Path) -> None:
        """Write it for the service."""
        fresh = path.with_name(f".{path.name}")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read it."""
        return cls(**json.loads(path.read_text()))
