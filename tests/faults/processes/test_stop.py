# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: running flows end or suspend between two tasks, the rest stays with the broker."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from drivers.interface.records import Record
from tests.faults.processes.conftest import Clouds
from tests.functional.cloud import Cloud
from tests.servers import until

PROCESSES = pytest.mark.parametrize("processes", [1, 2])


def ask(cloud: Cloud, count: int) -> list[Record]:
    """Cast creations."""
    volumes = [cloud.volume() for _ in range(count)]
    for volume in volumes:
        cloud.cast("create_volume", volume=volume)
    return volumes


def terminate(cloud: Cloud) -> None:
    """Send SIGTERM to the service, which under systemd is the parent."""
    assert cloud.service.process is not None
    cloud.service.process.send(signal.SIGTERM)


def suspended(cloud: Cloud, processes: int) -> None:
    """Wait until each process has suspended its operations."""
    said = "operations are suspended"
    until(lambda: cloud.service.text().count(said) == processes, 60, "all to be suspended")


def ended(cloud: Cloud, timeout: float = 30) -> int:
    """Wait for the end of the whole service and return its status."""
    assert cloud.service.process is not None
    family = cloud.service.process
    status = family.wait(timeout)
    until(lambda: not family.family(), 60, "the end of all processes")
    return status


def all_made(cloud: Cloud, volumes: Sequence[Record]) -> None:
    """Check that each volume was made, and once."""
    for volume in volumes:
        cloud.wait_status(volume, "available")
    cloud.wait_idle()
    made = [call["id"] for call in cloud.script.calls("create_volume")]
    assert sorted(made) == sorted(volume.id for volume in volumes)
    assert cloud.script.objects() == {volume.name for volume in volumes}


@PROCESSES
def test_a_short_grace_under_full_load_loses_and_repeats_nothing(
    make_cloud: Clouds, tmp_path: Path, processes: int, full: bool
) -> None:
    count = 400 if full else 60
    gate = tmp_path / "gate"  # no creation ends before the stop has begun
    limits = {"executor_thread_pool_size": 8, "waiting_operations_max": 8}
    cloud = make_cloud(processes, 0.25, graceful_shutdown_timeout=5 if full else 1, **limits)
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    cloud.service.start()
    volumes = ask(cloud, count)
    until(lambda: len(cloud.script.calls("create_volume")) >= 8, 60, "a full load")
    terminate(cloud)
    said = "its operations have"
    until(lambda: cloud.service.text().count(said) == processes, 60, "all to be stopping")
    gate.touch()
    assert ended(cloud) == 0
    taken, made = len(cloud.entries()), len(cloud.script.calls("create_volume"))
    assert made < count  # it did not just wait for all of them
    assert taken < count  # casts beyond both limits are with the broker

    cloud.service.start()
    all_made(cloud, volumes)
    assert {entry.state for entry in cloud.entries()} == {"SUCCESS"}


@PROCESSES
def test_what_does_not_end_in_time_is_suspended_between_two_tasks(
    make_cloud: Clouds, tmp_path: Path, processes: int
) -> None:
    gate = tmp_path / "gate"
    cloud = make_cloud(processes, graceful_shutdown_timeout=1)
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    cloud.service.start()
    volumes = ask(cloud, 6)
    until(lambda: len(cloud.script.calls("create_volume")) == 6, 60, "all to be under way")
    terminate(cloud)
    suspended(cloud, processes)
    gate.touch()
    assert ended(cloud) == 0
    states = {entry.state for entry in cloud.entries()}
    cloud.service.start()

    all_made(cloud, volumes)
    assert states == {"SUSPENDED"}
    assert {entry.resumes for entry in cloud.entries()} == {0}


@PROCESSES
def test_a_second_signal_suspends_at_once(
    make_cloud: Clouds, tmp_path: Path, processes: int
) -> None:
    gate = tmp_path / "gate"
    cloud = make_cloud(processes, graceful_shutdown_timeout=300)
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    cloud.service.start()
    volumes = ask(cloud, 4)
    until(lambda: len(cloud.script.calls("create_volume")) == 4, 60, "all to be under way")
    terminate(cloud)
    cloud.service.wait_for_log("its operations have", 60)
    assert "suspended" not in cloud.service.text()
    terminate(cloud)
    suspended(cloud, processes)
    gate.touch()
    assert ended(cloud) == 0
    cloud.service.start()

    all_made(cloud, volumes)
