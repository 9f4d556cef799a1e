# SPDX-License-Identifier: Apache-2.0
"""``holdfast-backup`` whose operations stop at the point that a campaign has named.

As :mod:`tests.faults.kill.victim`; the driver's points are those of a store, with one
more whenever something was noted as durable, and the calls of the volume service are
points as well.
"""

from __future__ import annotations

import sys
from typing import Any

from tests.faults.kill import victim  # first: it keeps eventlet out of the process

from drivers.backup import keeping, notes, restoring  # isort: skip
from drivers.backup.posix import PosixDriver  # isort: skip
from drivers.interface.errors import BackupDriverException  # isort: skip
from taskflow.persistence.models import FlowDetail  # isort: skip
from worker.cmd import backup  # isort: skip
from worker.services import backups, neighbours, resumption, service  # isort: skip
from worker.services.turnstile import Turnstile  # isort: skip

POINTS = victim.POINTS


class Driver(PosixDriver):
    """A directory, with points."""


victim.watch_driver(Driver, PosixDriver, BackupDriverException)


class Watched(backups.BackupService):
    """The service, each change of a step's state being a point."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "observer": self._changed})

    @staticmethod
    def _changed(detail: FlowDetail, step: str, state: str) -> None:
        POINTS.passed(f"{step} {state}", detail.meta["resource"][1])


def watch_notes() -> None:
    """A point after each note of what is durable."""

    def take(original: Any, self: notes.Notes, note: Any) -> None:
        original(self, note)
        POINTS.passed("noted")

    victim._wrap(notes.Notes, "take", take)


def watch_calls() -> None:
    """Points around what the volume service is asked."""

    def asked(original: Any, self: Any, request: Any, source: Any, method: str, **args: Any) -> Any:
        POINTS.passed(f"before {method}")
        answer = original(self, request, source, method, **args)
        POINTS.passed(f"after {method}")
        return answer

    victim._wrap(neighbours.VolumeServices, "_call", asked)
    victim._wrap(neighbours.VolumeServices, "_cast", asked)


def main() -> None:
    """Serve."""
    victim.watch_message_and_journal()
    victim.watch_database()
    victim.break_steps()
    watch_notes()
    watch_calls()
    keeping.SETTLE = restoring.SETTLE = 0.0  # type: ignore[misc]
    resumption.AT_ONCE = victim.AT_ONCE
    resumption.ALONE = 0.01
    service.Turnstile = lambda: Turnstile(victim.AT_ONCE)  # type: ignore[assignment,misc]
    backups.BackupService = Watched  # type: ignore[misc]
    backup.main()


if __name__ == "__main__":
    # The driver is loaded by its name: it must find these points, not another module's.
    sys.modules["tests.faults.kill.victim_backup"] = sys.modules["__main__"]
    main()
