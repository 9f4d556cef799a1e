# SPDX-License-Identifier: Apache-2.0
"""Several processes on one queue: restarted one by one, killed, fewer than before."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.interface.records import Record
from tests.faults.processes import timed
from tests.faults.processes.conftest import Clouds
from tests.functional.cloud import Cloud
from tests.servers import alive, until


class Casts:
    """Creations, one after the other, until stopped."""

    def __init__(self, cloud: Cloud, pause: float) -> None:
        self.volumes: list[Record] = []
        self._cloud = cloud
        self._pause = pause
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def stop(self) -> list[Record]:
        """Send no more; return the requests."""
        self._enough.set()
        self._thread.join(30)
        return self.volumes

    def _send(self) -> None:
        while not self._enough.wait(self._pause):
            volume = self._cloud.volume()
            self.volumes.append(volume)
            self._cloud.cast("create_volume", volume=volume)


def all_made(cloud: Cloud, volumes: list[Record]) -> None:
    for volume in volumes:
        cloud.wait_status(volume, "available")
    cloud.wait_idle()
    assert cloud.script.objects() == {volume.name for volume in volumes}


def settled(cloud: Cloud, processes: int) -> list[int]:
    """Wait until all processes serve and return them."""
    pattern = r"takes operations for h1@b1/\d"

    def served() -> bool:
        slots = re.findall(pattern, cloud.service.text())
        return len(set(slots)) == processes and len(cloud.service.children()) == processes

    until(served, 60, f"{processes} processes")
    return cloud.service.children()


def test_restarted_one_by_one_they_lose_nothing_and_go_on_consuming(make_cloud: Clouds) -> None:
    cloud = make_cloud(3, 0.02)
    cloud.service.start()
    children = settled(cloud, 3)
    casts = Casts(cloud, 0.02)
    down: list[tuple[int, float, float]] = []
    for child in children:
        position, began = cloud.service.position(), time.monotonic()
        os.kill(child, signal.SIGTERM)
        until(lambda: not alive([child]), 60, "its end")  # noqa: B023
        cloud.service.wait_for_log("takes operations for", 60, after=position)
        down.append((child, began, time.monotonic()))
    volumes = casts.stop()

    all_made(cloud, volumes)
    made = timed.calls(cloud.script.directory)
    assert len(made) == len(volumes)  # none was begun twice
    for child, began, ended in down:
        others = [c for c in made if began < c.began < ended and c.pid != child]
        assert others, "nobody took casts while one process was away"


def test_a_killed_child_is_replaced_and_the_others_go_on(make_cloud: Clouds) -> None:
    cloud = make_cloud(2, 0.3)
    cloud.service.start()
    children = settled(cloud, 2)
    casts = Casts(cloud, 0.03)
    until(
        lambda: {c.pid for c in timed.calls(cloud.script.directory)} == set(children),
        60,
        "both to work",
    )
    position, killed = cloud.service.position(), time.monotonic()
    os.kill(children[0], signal.SIGKILL)
    cloud.service.wait_for_log("takes operations for", 60, after=position)
    back = time.monotonic()
    volumes = casts.stop()

    all_made(cloud, volumes)
    noted = timed.calls(cloud.script.directory)
    assert [c for c in noted if c.pid == children[1] and killed < c.began < back]
    assert re.search(r"\d+ interrupted operations resume", cloud.service.text(position))


def test_what_excludes_each_other_never_runs_at_once(
    make_cloud: Clouds, chance: random.Random, full: bool
) -> None:
    """Copies, snapshots and extensions of few volumes, while processes are killed."""
    cloud = make_cloud(3, 0.05)
    cloud.service.start()
    settled(cloud, 3)
    sources = [cloud.existing() for _ in range(3)]
    deaths: dict[int, float] = {}

    def clone(source: Record) -> None:
        cloud.cast("create_volume", volume=cloud.volume(source_volid=source.id))

    def snapshot(source: Record) -> None:
        cloud.cast("create_snapshot", snapshot=cloud.snapshot(source))

    def extend(source: Record) -> None:
        cloud.records.volumes.update(source.id, status="extending")
        cloud.cast("extend_volume", volume=source, new_size=2, reservations=[])

    def all_ended() -> bool:
        return all(e.state in ("SUCCESS", "REVERTED", "FAILURE") for e in cloud.entries())

    works: list[Callable[[Record], None]] = [clone, clone, snapshot, extend]
    for number in range(600 if full else 90):
        chance.choice(works)(chance.choice(sources))
        if number % 30 == 29:
            # The supervisor pauses between many starts.
            until(lambda: len(cloud.service.children()) > 1, 60, "processes to be back")
            victim = chance.choice(cloud.service.children())
            os.kill(victim, signal.SIGKILL)
            deaths[victim] = time.monotonic()
    until(all_ended, 120, "all to end")

    noted = timed.calls(cloud.script.directory)
    assert len({call.pid for call in noted}) >= 3
    assert not timed.overlaps(noted, deaths)


def test_fewer_processes_than_before_take_over_what_the_others_left(
    make_cloud: Clouds, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    cloud = make_cloud(3)
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    cloud.service.start()
    settled(cloud, 3)
    volumes = [cloud.volume() for _ in range(9)]
    for volume in volumes:
        cloud.cast("create_volume", volume=volume)
    until(lambda: len(cloud.script.calls("create_volume")) == 9, 60, "all to be under way")
    assert len({entry.slot for entry in cloud.entries()}) > 1
    cloud.service.kill()
    gate.touch()
    config = cloud.service.config.read_text()
    cloud.service.config.write_text(re.sub(r"processes\s*=\s*3", "processes = 1", config))
    cloud.service.start()

    all_made(cloud, volumes)
    assert {entry.slot for entry in cloud.entries()} == {"h1@b1/0"}


@pytest.mark.parametrize("processes", [2, 3])
def test_no_connection_is_shared_between_processes(make_cloud: Clouds, processes: int) -> None:
    cloud = make_cloud(processes)
    cloud.service.start()
    children = settled(cloud, processes)
    volumes = [cloud.volume() for _ in range(20)]
    for volume in volumes:
        cloud.cast("create_volume", volume=volume)
    all_made(cloud, volumes)

    assert cloud.service.process is not None
    held = [_connections(pid) for pid in (cloud.service.process.pid, *children)]
    assert all(held[1:])  # each child has some
    for one, other in itertools.combinations(held, 2):
        assert not one & other


def _connections(pid: int) -> set[str]:
    """Return the TCP connections and database files that a process has open, by inode."""
    found = set()
    tcp = Path(f"/proc/{pid}/net/tcp").read_text().split("\n")[1:]
    inodes = {line.split()[9] for line in tcp if line}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
        inode = target.removeprefix("socket:[").removesuffix("]")
        if inode in inodes:
            found.add(inode)
    return found
