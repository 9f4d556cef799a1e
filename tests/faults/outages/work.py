# SPDX-License-Identifier: Apache-2.0
"""Operations that continue through an outage, and their required ends."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers.interface.records import Record
from tests.faults.outages.kinds import Outage
from tests.functional.cloud import Cloud
from tests.servers import until

PATIENCE = 60.0
"""Longest wait for interrupted operations to end after an outage, in seconds."""


@dataclass
class Job:
    """One cast.

    :param objects: names that must be on the backend when it has ended, and only those.
    """

    method: str
    resource: Record
    wanted: str
    objects: frozenset[str]
    send: Callable[[], None]


def create_volume(cloud: Cloud) -> Job:
    """A volume to be made."""
    volume = cloud.volume()
    made = frozenset({volume.name})

    def send() -> None:
        cloud.cast("create_volume", volume=volume)

    return Job("create_volume", volume, "available", made, send)


def delete_volume(cloud: Cloud) -> Job:
    """A volume to be deleted."""
    volume = cloud.existing("deleting")

    def send() -> None:
        cloud.cast("delete_volume", volume=volume)

    return Job("delete_volume", volume, "gone", frozenset(), send)


def extend_volume(cloud: Cloud) -> Job:
    """A volume to be made larger."""
    volume = cloud.existing("extending")

    def send() -> None:
        cloud.cast("extend_volume", volume=volume, new_size=2, reservations=[])

    return Job("extend_volume", volume, "available", frozenset({volume.name}), send)


def create_snapshot(cloud: Cloud) -> Job:
    """A snapshot to be made."""
    volume = cloud.existing()
    snapshot = cloud.snapshot(volume)
    both = frozenset({volume.name, snapshot.name})

    def send() -> None:
        cloud.cast("create_snapshot", snapshot=snapshot)

    return Job("create_snapshot", snapshot, "available", both, send)


def delete_snapshot(cloud: Cloud) -> Job:
    """A snapshot to be deleted."""
    volume = cloud.existing()
    snapshot = cloud.existing_snapshot(volume, "deleting")

    def send() -> None:
        cloud.cast("delete_snapshot", snapshot=snapshot)

    return Job("delete_snapshot", snapshot, "gone", frozenset({volume.name}), send)


OPERATIONS = (create_volume, delete_volume, extend_volume, create_snapshot, delete_snapshot)


class Stream:
    """Casts, sent one after the other from a thread while things happen.

    :param jobs: the casts to send, in this order.
    :param pause: seconds between two.
    """

    def __init__(self, jobs: Sequence[Job], pause: float) -> None:
        self.sent = 0
        self._jobs = jobs
        self._pause = pause
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._send, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until all were sent; a sender waits for its bus as long as it takes."""
        self._thread.join(PATIENCE + 2 * self._pause * len(self._jobs))
        if self._error is not None:
            raise self._error
        assert not self._thread.is_alive(), f"only {self.sent} casts could be sent"

    def _send(self) -> None:
        try:
            for job in self._jobs:
                job.send()
                self.sent += 1
                time.sleep(self._pause)
        except Exception as error:  # noqa: BLE001 - raised again by join
            self._error = error


class Gate:
    """The points at which the victim's flows are held.

    :param folder: the folder of the victim.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def points(self, job: Job) -> list[str]:
        """Return the points that a flow has passed."""
        return (self._folder / "points" / job.resource.id).read_text().splitlines()

    def park(self, job: Job, number: int) -> None:
        """Have a flow wait at its point of this number."""
        (self._folder / "park" / job.resource.id).write_text(str(number))

    def wait_parked(self, jobs: Sequence[Job]) -> None:
        """Wait until all of these stand at their points."""
        wanted = {job.resource.id for job in jobs}
        parked = self._folder / "parked"
        until(
            lambda: wanted <= {path.name for path in parked.iterdir()},
            PATIENCE,
            f"{len(jobs)} operations to be parked",
        )

    def open(self) -> None:
        """Let all go on."""
        (self._folder / "go").touch()


def at_every_point(cloud: Cloud, gate: Gate) -> list[Job]:
    """Send one operation of each kind for each point of its flow and wait until all are parked."""
    first = [make(cloud) for make in OPERATIONS]
    for job in first:
        job.send()
    check(cloud, first)
    jobs = []
    for make, example in zip(OPERATIONS, first, strict=True):
        for number in range(len(gate.points(example))):
            job = make(cloud)
            gate.park(job, number)
            jobs.append(job)
    for job in jobs:
        job.send()
    gate.wait_parked(jobs)
    return [*first, *jobs]


def check(cloud: Cloud, jobs: Sequence[Job]) -> None:
    """Wait until all have ended as they should, and see that nothing is left over."""
    deadline = time.monotonic() + PATIENCE
    while stuck := [job for job in jobs if cloud.status(job.resource) != job.wanted]:
        if time.monotonic() > deadline:
            told = [f"{j.method} {j.resource.id}: {cloud.status(j.resource)}" for j in stuck]
            raise AssertionError(f"{len(stuck)} of {len(jobs)} lost or stuck: {told[:5]}")
        time.sleep(0.05)
    cloud.wait_idle()
    assert cloud.script.objects() == frozenset().union(*(job.objects for job in jobs))
    assert not cloud.entries(rejected=True)


def told_once(log: str, outage: Outage, at_least: float) -> None:
    """Check that the log reports one outage in one line, with its true length.

    The service notices an outage when it asks, and a server takes a while to stop and to start.
    """
    assert outage.told
    lines = [line for line in log.splitlines() if re.search(outage.told, line)]
    assert len(lines) == 1, f"{len(lines)} lines tell of the outage:\n" + "\n".join(lines)
    found = re.search(outage.told, lines[0])
    assert found is not None
    assert at_least <= float(found[1]) <= time.monotonic() - outage.begun, lines[0]


def quiet(log: str, lines: int = 40) -> None:
    """See that an outage is no flood: few lines above INFO, and no traceback."""
    assert "Traceback" not in log, log
    loud = [line for line in log.splitlines() if re.search(r" (WARNING|ERROR|CRITICAL) ", line)]
    assert len(loud) <= lines, f"{len(loud)} warnings and errors:\n" + "\n".join(loud[:60])
