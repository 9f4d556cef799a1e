# SPDX-License-Identifier: Apache-2.0
"""A driver that hangs blocks neither its operation nor those behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.cloud import BACKEND, Cloud
from tests.functional.service import Service
from tests.servers import until

Clouds = Callable[..., Cloud]


@pytest.fixture
def make_cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Clouds]:
    made: list[Cloud] = []

    def make(**options: Any) -> Cloud:
        url = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
        options = {"volume_driver": "tests.functional.process.late_driver.LateDriver", **options}
        cloud = Cloud(volume_service, rabbit_url, url, tmp_path, **{BACKEND: options})
        made.append(cloud)
        cloud.service.start()
        return cloud

    yield make
    for cloud in made:
        cloud.close()


def ended(cloud: Cloud, count: int = 1) -> None:
    until(lambda: len(cloud.entries()) >= count, 60, "the journal to have it")
    cloud.wait_idle()


def test_what_hangs_in_its_driver_is_undone_and_its_stack_is_told(
    make_cloud: Clouds, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    cloud = make_cloud(operation_timeout="create_volume:1")
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)

    cloud.wait_status(volume, "error")
    ended(cloud)
    log = cloud.service.text()
    assert "takes longer than the 1 s of operation_timeout" in log
    assert "scripted/volume_driver.py" in log and "wait_for" in log
    assert cloud.entries()[0].state == "REVERTED"
    assert "OperationTimedOut" in (cloud.entries()[0].failure or "")
    gate.touch()


def test_what_a_driver_makes_too_late_is_removed(make_cloud: Clouds, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    cloud = make_cloud(operation_timeout="*:1")
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "error")
    ended(cloud)

    gate.touch()
    cloud.service.wait_for_log("the thread that hung is back after")
    until(lambda: len(cloud.script.calls("delete_volume")) == 2, 60, "the second undoing")
    ended(cloud)

    assert cloud.script.objects() == set()
    assert cloud.status(volume) == "error"


def test_where_undoing_hangs_as_well_the_status_is_written_all_the_same(
    make_cloud: Clouds, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    cloud = make_cloud(operation_timeout="create_volume:1")
    hang = {"wait_for": str(gate)}
    cloud.script.plan(create_volume=hang, delete_volume=hang)
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)

    cloud.wait_status(volume, "error")
    ended(cloud)
    assert cloud.entries()[0].state == "FAILURE"
    gate.touch()


def test_the_next_operation_does_not_wait_for_one_that_hangs(
    make_cloud: Clouds, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    cloud = make_cloud(operation_timeout="extend_volume:1")
    cloud.script.plan(extend_volume={"wait_for": str(gate)})
    volume = cloud.existing("extending")
    cloud.cast("extend_volume", volume=volume, new_size=2, reservations=[])
    cloud.wait_status(volume, "error_extending")
    cloud.records.volumes.update(volume.id, status="deleting")
    cloud.cast("delete_volume", volume=volume)

    cloud.wait_status(volume, "gone")
    gate.touch()


def test_an_operation_without_a_limit_may_take_its_time(make_cloud: Clouds, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    cloud = make_cloud(operation_timeout="delete_volume:1,no_such_thing:5")
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    until(lambda: cloud.script.calls("create_volume"), 60, "the driver to be asked")
    time.sleep(1.5)
    assert cloud.status(volume) == "creating"
    gate.touch()

    cloud.wait_status(volume, "available")
    assert "there is no operation no_such_thing" in cloud.service.text()


@pytest.mark.parametrize("action", ["report", "revert"])
def test_data_that_stands_still(make_cloud: Clouds, tmp_path: Path, action: str) -> None:
    gate = tmp_path / "gate"
    cloud = make_cloud(stall_timeout=1, stall_action=action)
    cloud.script.plan(revert_to_snapshot={"wait_for": str(gate)})
    volume = cloud.existing("reverting")
    snapshot = cloud.existing_snapshot(volume, "restoring")
    cloud.cast("revert_to_snapshot", "3.15", volume=volume, snapshot=snapshot)

    cloud.service.wait_for_log("restore has made no progress for the 1 s of stall_timeout")
    if action == "revert":
        cloud.wait_status(volume, "error")
        gate.touch()
        return
    assert cloud.status(volume) == "reverting"
    gate.touch()
    cloud.wait_status(volume, "available")
    assert cloud.service.text().count("has made no progress") == 1
