# SPDX-License-Identifier: Apache-2.0
"""``holdfast-volume`` whose operations stop at a point that a test has named.

Run as a module in place of the service. Each change of a task's state is a point;
they are numbered from 0 for each flow. In the directory ``HOLDFAST_GATE``:

=============  ==============================================================
``points/ID``  the points that the flow of resource ID has passed, line by line
``park/ID``    the number of the point where the flow is to wait, by the test
``parked/ID``  it waits there now
``go``         all may go on, by the test
=============  ==============================================================
"""

from __future__ import annotations

import collections
import functools
import os
import time
from pathlib import Path

from worker.cmd import volume as program  # first: it keeps eventlet out of the process

from taskflow.persistence.models import FlowDetail  # isort: skip

from worker.service import base, volume  # isort: skip
from worker.execution.concurrency import Limiter  # isort: skip

_PATIENCE = 120.0


class Gate:
    """The observer through which every flow passes.

    :param folder: as the module's table says.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._passed: collections.Counter[str] = collections.Counter()
        for name in ("points", "park", "parked"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def __call__(self, detail: FlowDetail, task: str, state: str) -> None:
        """Note a point and wait there if the plan says so."""
        resource = detail.meta["resource"][1]
        number = self._passed[resource]
        self._passed[resource] += 1
        with (self._folder / "points" / resource).open("a") as points:
            points.write(f"{task}:{state}\n")
        wanted = self._folder / "park" / resource
        if wanted.exists() and int(wanted.read_text()) == number:
            (self._folder / "parked" / resource).touch()
            self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not (self._folder / "go").exists():
            if time.monotonic() > deadline:
                raise TimeoutError("nobody opened the gate")
            time.sleep(0.02)


if __name__ == "__main__":
    # A parked operation holds the concurrency limit: the others must get past.
    base.Limiter = lambda: Limiter(1000)  # type: ignore[assignment,misc]
    gate = Gate(Path(os.environ["HOLDFAST_GATE"]))
    volume.service = functools.partial(volume.service, observer=gate)
    program.main()
