# SPDX-License-Identifier: Apache-2.0
"""Operators cancel, revert and resume flows; failed reverts are kept and shown."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.functional.cloud import Cloud
from tests.functional.service import Service
from tests.servers import until
from tests.servers.forked import command


@pytest.fixture
def cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Cloud]:
    made = Cloud(volume_service, rabbit_url, f"sqlite:///{tmp_path / 'cinder.sqlite'}", tmp_path)
    made.service.start()
    yield made
    made.close()


def holdfast(cloud: Cloud, *words: str) -> subprocess.CompletedProcess[str]:
    return command("worker.cli.main", "--config-file", str(cloud.service.config), *words)


def shown(cloud: Cloud, resource: Record) -> dict[str, Any]:
    done = holdfast(cloud, "flow", "show", resource.id, "--traceback", "-f", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def wait_ended(cloud: Cloud, state: str) -> None:
    until(lambda: {entry.state for entry in cloud.entries()} == {state}, 60, state)


def test_a_running_operation_is_cancelled_at_its_next_boundary(
    cloud: Cloud, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    until(lambda: cloud.script.calls("create_volume"), 60, "the driver to be asked")

    done = holdfast(cloud, "flow", "cancel", volume.id)
    gate.touch()

    assert done.returncode == 0, done.stderr
    assert "reverted from its next task boundary on" in done.stdout
    cloud.wait_status(volume, "error")
    wait_ended(cloud, "REVERTED")
    assert cloud.script.objects() == set()
    assert "cancelled by an operator" in shown(cloud, volume)["failure"]


def test_one_that_waits_for_its_turn_is_cancelled_before_it_begins(
    cloud: Cloud, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    cloud.script.plan(extend_volume={"wait_for": str(gate)})
    volume = cloud.existing("extending")
    cloud.cast("extend_volume", volume=volume, new_size=2, reservations=[])
    until(lambda: cloud.script.calls("extend_volume"), 60, "the driver to be asked")
    cloud.cast("delete_volume", volume=volume)
    until(lambda: len(cloud.entries()) == 2, 60, "the deletion to be accepted")
    waiting = next(e for e in cloud.entries() if e.method == "delete_volume")

    done = holdfast(cloud, "flow", "cancel", waiting.flow)
    gate.touch()
    cloud.wait_idle()

    assert done.returncode == 0, done.stderr
    assert not cloud.script.calls("delete_volume")
    assert cloud.status(volume) != "gone"


def test_a_cancelled_operation_is_undone_even_if_it_is_killed(cloud: Cloud, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    until(lambda: cloud.script.calls("create_volume"), 60, "the driver to be asked")
    assert holdfast(cloud, "flow", "cancel", volume.id).returncode == 0

    cloud.service.kill()
    gate.touch()
    cloud.service.start()

    cloud.wait_status(volume, "error")
    cloud.wait_idle()
    assert cloud.script.objects() == set()


def test_what_failed_is_run_once_more(cloud: Cloud) -> None:
    cloud.script.plan(create_volume={"raise": "VolumeBackendAPIException", "text": "array is down"})
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "error")
    wait_ended(cloud, "REVERTED")
    cloud.script.plan()

    done = holdfast(cloud, "flow", "resume", volume.id)

    assert done.returncode == 0, done.stderr
    cloud.wait_status(volume, "available")
    wait_ended(cloud, "SUCCESS")
    assert cloud.script.objects() == {volume.name}


def test_what_has_changed_since_is_not_run_again(cloud: Cloud) -> None:
    cloud.script.plan(delete_volume={"raise": "VolumeBackendAPIException"})
    volume = cloud.existing("deleting")
    cloud.cast("delete_volume", volume=volume)
    cloud.wait_status(volume, "error_deleting")
    wait_ended(cloud, "REVERTED")
    cloud.script.plan()
    cloud.records.volumes.update(volume.id, status="in-use")

    assert holdfast(cloud, "flow", "resume", volume.id).returncode == 0
    until(lambda: "is in-use, not" in (cloud.entries()[0].failure or ""), 60, "a refusal")

    assert cloud.status(volume) == "in-use"
    assert len(cloud.script.calls("delete_volume")) == 1


def test_what_was_left_is_shown_with_both_tracebacks_and_undone_later(cloud: Cloud) -> None:
    cloud.script.plan(
        create_volume={"raise": "VolumeBackendAPIException", "text": "array is down"},
        delete_volume={"raise": "VolumeBackendAPIException", "text": "still down"},
    )
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "error")
    wait_ended(cloud, "FAILURE")

    listed = holdfast(cloud, "flow", "list", "--failed", "-f", "json")
    assert [row["state"] for row in json.loads(listed.stdout)] == ["FAILURE"]
    found = shown(cloud, volume)
    assert "array is down" in found["traceback_of_allocate"]
    assert "still down" in found["traceback_of_undoing_allocate"]
    assert found["task_allocate"].startswith("NOT UNDONE")
    assert cloud.script.objects() == {volume.name}

    cloud.script.plan()
    done = holdfast(cloud, "flow", "revert", volume.id)

    assert done.returncode == 0, done.stderr
    wait_ended(cloud, "REVERTED")
    assert cloud.script.objects() == set()
    assert cloud.status(volume) == "error"


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("cancel", "has ended: SUCCESS"),
        ("revert", "has ended: SUCCESS; nothing is left to revert"),
        ("resume", "has ended: SUCCESS"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(cloud: Cloud, action: str, text: str) -> None:
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "available")
    wait_ended(cloud, "SUCCESS")

    done = holdfast(cloud, "flow", action, volume.id)

    assert done.returncode == 1
    assert text in done.stderr


def test_a_call_is_not_run_again(cloud: Cloud) -> None:
    cloud.script.plan(initialize_connection={"raise": "OSError"})
    volume = cloud.existing()
    cloud.failure("initialize_connection", volume=volume, connector={"host": "h"})
    wait_ended(cloud, "REVERTED")

    done = holdfast(cloud, "flow", "resume", volume.id)

    assert done.returncode == 1
    assert "send the request again" in done.stderr


def test_a_wish_waits_for_a_service_that_does_not_run(cloud: Cloud) -> None:
    cloud.script.plan(create_volume={"raise": "VolumeBackendAPIException"})
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "error")
    wait_ended(cloud, "REVERTED")
    cloud.service.kill()
    cloud.script.plan()

    done = holdfast(cloud, "flow", "resume", volume.id)
    cloud.service.start()

    assert done.returncode == 1
    assert "it is done when one does" in done.stderr
    cloud.wait_status(volume, "available")
