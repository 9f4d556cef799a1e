# SPDX-License-Identifier: Apache-2.0
"""The machine itself: full disks, a clock that jumps, no more file descriptors."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.outages import kinds, work
from tests.faults.outages.kinds import SmallDisk
from tests.faults.outages.lengths import QUICK
from tests.functional.cloud import BACKEND, Cloud
from tests.servers import until

SERVICE = "worker.cmd.volume"
Clouds = Callable[..., Cloud]
Disks = Callable[[str, int], SmallDisk]


def send_all(cloud: Cloud, count: int = 10) -> list[work.Job]:
    jobs = [work.OPERATIONS[n % len(work.OPERATIONS)](cloud) for n in range(count)]
    for job in jobs:
        job.send()
    return jobs


def test_no_room_for_the_journal(
    make_cloud: Clouds, new_database: Callable[[str], str], small_disk: Disks
) -> None:
    disk = small_disk("journal", 8)
    connection = f"sqlite:///{disk.place}/journal.sqlite"
    cloud = make_cloud(new_database("sqlite"), module=SERVICE, journal={"connection": connection})
    cloud.service.start()
    outage = kinds.disk_full(disk, "the journal's", kinds.JOURNAL_BACK)
    with outage.during():
        jobs = send_all(cloud)
        cloud.service.wait_for_log("the journal is away")
        time.sleep(QUICK)
    _ended(cloud, jobs)

    log = cloud.service.text()
    work.told_once(log, outage, 0.5)
    work.quiet(log)


def _ended(cloud: Cloud, jobs: list[work.Job]) -> None:
    """Wait for the statuses; the journal is not where the cloud looks for it."""
    for job in jobs:
        until(
            lambda: cloud.status(job.resource) == job.wanted,  # noqa: B023
            work.PATIENCE,
            f"{job.method} to end",
        )
    assert cloud.script.objects() == frozenset().union(*(job.objects for job in jobs))


def test_no_room_on_the_backend(
    make_cloud: Clouds, new_database: Callable[[str], str], small_disk: Disks
) -> None:
    """A driver's failure like any other: the error status, and nothing left."""
    disk = small_disk("volumes", 8)
    backend = {"volume_driver": "local", "local_path": disk.place / "v"}
    cloud = make_cloud(new_database("sqlite"), module=SERVICE, **{BACKEND: backend})
    cloud.service.start()
    source = cloud.volume()
    cloud.cast("create_volume", volume=source)
    cloud.wait_status(source, "available")
    with (disk.place / "v" / source.name).open("r+b") as file:
        file.write(b"x" * (1 << 20))
    with kinds.disk_full(disk, "the backend's", None).during():
        copy = cloud.volume(source_volid=source.id)
        cloud.cast("create_volume", volume=copy)
        cloud.wait_status(copy, "error")
    again = cloud.volume(source_volid=source.id)
    cloud.cast("create_volume", volume=again)
    cloud.wait_status(again, "available")
    cloud.wait_idle()

    names = {path.name for path in (disk.place / "v").iterdir() if path.is_file()}
    assert {n for n in names if "volume-" in n} == {source.name, again.name}
    assert "No space left" in cloud.service.text()


def test_no_room_for_the_database(make_cloud: Clouds, small_disk: Disks, tmp_path: Path) -> None:
    disk = small_disk("database", 16)
    cloud = make_cloud(f"sqlite:///{disk.place}/cinder.sqlite", module=SERVICE)
    cloud.service.start()
    jobs = [make(cloud) for make in work.OPERATIONS]
    with kinds.disk_full(disk, "the database's", kinds.DATABASE_BACK).during():
        for job in jobs:
            job.send()
        time.sleep(QUICK)
    work.check(cloud, jobs)
    work.quiet(cloud.service.text())


def test_no_more_file_descriptors(make_cloud: Clouds, new_database: Callable[[str], str]) -> None:
    cloud = make_cloud(new_database("sqlite"), module=SERVICE)
    cloud.service.start()
    assert cloud.service.process is not None
    with kinds.descriptors_used_up(cloud.service.process).during():
        jobs = send_all(cloud)
        time.sleep(QUICK)
    work.check(cloud, jobs)


@pytest.mark.parametrize("days", [3, -3])
def test_the_clock_jumps(
    make_cloud: Clouds,
    new_database: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    days: int,
) -> None:
    """Nothing waits for a time of day, and no lock or entry is forgotten for its age."""
    offset = tmp_path / "offset"
    offset.write_text("0")
    monkeypatch.setenv("HOLDFAST_CLOCK", str(offset))
    cloud = make_cloud(new_database("sqlite"), module="tests.faults.outages.clock")
    cloud.service.start()
    gate = tmp_path / "hold"
    cloud.script.plan(extend_volume={"wait_for": str(gate)})
    held = work.extend_volume(cloud)
    held.send()
    until(lambda: cloud.script.calls("extend_volume"), 60, "one to be under way")
    offset.write_text(str(days * 86400))
    jobs = send_all(cloud)
    gate.touch()
    work.check(cloud, [held, *jobs])
    told = {entry.accepted_at.date() for entry in cloud.entries()}

    assert len(told) == 2  # the clock did jump
    work.quiet(cloud.service.text())
