# SPDX-License-Identifier: Apache-2.0
"""How far a copy of data is, for a person: percent, bytes, MB/s, and the rest of its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oslo_utils import units

from worker.cli.access import NoJournal
from worker.journal.errors import JournalError

if TYPE_CHECKING:
    from worker.cli.access import Access
    from worker.journal.entries.tasks import Task


_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class TransferProgress:
    """A copy under way.

    :param fraction: that is done, from 0 to 1.
    :param size: of all of it, in bytes.
    :param seconds: that it has taken so far.
    """

    fraction: float
    size: int
    seconds: float

    @property
    def percent(self) -> str:
        """``37 %``."""
        return f"{self.fraction * 100:.0f} %"

    @property
    def copied(self) -> str:
        """``12.3 GiB``."""
        return shown_bytes(self.size * self.fraction)

    @property
    def done(self) -> str:
        """``12.3 GiB of 40.0 GiB``."""
        return f"{self.copied} of {shown_bytes(self.size)}"

    @property
    def rate(self) -> str:
        """``412 MB/s``, since its begin."""
        if self.seconds <= 0:
            return ""
        return f"{self.size * self.fraction / self.seconds / 1e6:.0f} MB/s"

    @property
    def left(self) -> str:
        """``1:05:09``, at the present rate."""
        if self.fraction <= 0:
            return ""
        rest = int(self.seconds / self.fraction * (1 - self.fraction))
        minutes, seconds = divmod(rest, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d}"

    def __str__(self) -> str:
        rest = f", {self.left} left" if self.left else ""
        return f"{self.percent}, {self.done}, {self.rate}{rest}"


def shown_bytes(count: float) -> str:
    """Return a number of bytes in the unit that fits."""
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit in ("B", "KiB") else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"


def under_way(
    access: Access, gib: dict[str, int], warn: Callable[[str], None]
) -> dict[str, TransferProgress]:
    """Return the progress of backups, as far as this host's journal records it.

    :param gib: sizes by the ids of the backups that are looked for.
    :param warn: gets the reason when the journal cannot be read.
    """
    # Late: SQLAlchemy and taskflow take a second, which help does not need.
    from worker.journal.entries.tasks import tasks_of

    found: dict[str, TransferProgress] = {}
    try:
        for entry in access.journal.entries(among=("PENDING", "RUNNING"), limit=1000):
            backup_id = entry.resource.partition(" ")[2]
            if backup_id not in gib or backup_id in found:
                continue
            for task in tasks_of(access.journal, entry):
                if (progress := _of(task, gib[backup_id])) is not None:
                    found[backup_id] = progress
    except (NoJournal, JournalError) as error:  # the service may run on another host, too
        warn(f"no progress is shown: {error}")
    return found


def _of(task: Task, gib: int) -> TransferProgress | None:
    if task.state != "RUNNING" or task.progress is None or task.began is None:
        return None
    return TransferProgress(task.progress, gib * units.Gi, time.time() - task.began)
