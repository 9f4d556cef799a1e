# SPDX-License-Identifier: Apache-2.0
"""``holdfast-backup`` whose operations stop at the point that a campaign has named.

As :mod:`tests.faults.kill.victim`; the driver's points are those of a store, with one
more whenever something was noted as durable, and the calls of the volume service are
points as well.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from tests.faults.kill import victim  # first: it keeps eventlet out of the process

from drivers.backup.transfer import checkpoint  # isort: skip
from drivers.backup.posix import PosixDriver  # isort: skip
from drivers.interface.errors import BackupDriverException  # isort: skip
from worker.cmd import backup as program  # isort: skip
from worker.adapters import remote_services  # isort: skip
from worker.service import backup  # isort: skip

POINTS = victim.POINTS


class Driver(PosixDriver):
    """A directory, with points."""


victim.watch_driver(Driver, PosixDriver, BackupDriverException)


def watch_checkpoints() -> None:
    """A point after each checkpoint."""

    def append(original: Any, self: checkpoint.Checkpoint, entry: Any, *hashes: Any) -> None:
        original(self, entry, *hashes)
        POINTS.passed("noted")

    victim.wrap(checkpoint.Checkpoint, "append", append)


def watch_calls() -> None:
    """Points around calls of the volume service."""

    def asked(original: Any, self: Any, request: Any, source: Any, method: str, **args: Any) -> Any:
        POINTS.passed(f"before {method}")
        answer = original(self, request, source, method, **args)
        POINTS.passed(f"after {method}")
        return answer

    victim.wrap(remote_services.RemoteVolumeServices, "_call", asked)
    victim.wrap(remote_services.RemoteVolumeServices, "_cast", asked)


def main() -> None:
    """Serve."""
    victim.watch_service()
    watch_checkpoints()
    watch_calls()
    checkpoint.FIRST_INTERVAL = 0.0  # type: ignore[misc]
    backup.service = functools.partial(backup.service, observer=victim.changed)
    program.main()


if __name__ == "__main__":
    # The driver is loaded by its name: it must find these points, not another module's.
    sys.modules["tests.faults.kill.victim_backup"] = sys.modules["__main__"]
    main()
