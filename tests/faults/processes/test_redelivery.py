# SPDX-License-Identifier: Apache-2.0
"""The same message runs once: at once, later, after a restart, and on several processes."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.faults.processes.conftest import Clouds
from tests.functional.cloud import Cloud, envelope
from tests.servers import until
from worker.rpc import objects


def twin(cloud: Cloud, count: int) -> list[tuple[Any, bytes]]:
    """Return volumes, each with the message that asks for it."""
    made = []
    for _ in range(count):
        volume = cloud.volume()
        body = envelope(
            "create_volume",
            args={"volume": objects.volume(volume)},
            _unique_id=uuid.uuid4().hex,
        )
        made.append((volume, body))
    return made


def asked(cloud: Cloud) -> list[str]:
    return sorted(call["id"] for call in cloud.script.calls("create_volume"))


@pytest.mark.parametrize("processes", [1, 3])
def test_at_once_and_after_the_end(make_cloud: Clouds, processes: int) -> None:
    cloud = make_cloud(processes, 0.1)
    cloud.service.start()
    messages = twin(cloud, 10)
    for _volume, body in messages:
        for _ in range(3):
            cloud.publish_raw(body)
    for volume, _body in messages:
        cloud.wait_status(volume, "available")
    for _volume, body in messages:
        cloud.publish_raw(body)
    last, body = twin(cloud, 1)[0]
    cloud.publish_raw(body)
    cloud.wait_status(last, "available")
    cloud.wait_idle()

    assert asked(cloud) == sorted(v.id for v, _body in [*messages, (last, b"")])
    assert len(cloud.entries()) == 11


def test_after_a_kill_in_its_middle_and_after_a_restart(make_cloud: Clouds, tmp_path: Any) -> None:
    gate = tmp_path / "gate"
    cloud = make_cloud(1)
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    cloud.service.start()
    messages = twin(cloud, 5)
    for _volume, body in messages:
        cloud.publish_raw(body)
    until(lambda: len(cloud.script.calls("create_volume")) == 5, 60, "all to be under way")
    cloud.service.kill()
    for _volume, body in messages:
        cloud.publish_raw(body)
    gate.touch()
    cloud.service.start()
    for volume, body in messages:
        cloud.wait_status(volume, "available")
        cloud.publish_raw(body)
    cloud.wait_idle()

    assert len(cloud.entries()) == 5
    assert len(cloud.script.calls("create_volume")) == 10  # once, and once more after the kill
    assert cloud.script.objects() == {volume.name for volume, _body in messages}


def test_a_failure_is_not_tried_again_by_a_second_delivery(make_cloud: Clouds) -> None:
    cloud = make_cloud(1)
    cloud.script.plan(create_volume={"raise": "VolumeBackendAPIException"})
    cloud.service.start()
    ((volume, body),) = twin(cloud, 1)
    cloud.publish_raw(body)
    cloud.wait_status(volume, "error")
    cloud.publish_raw(body)
    cloud.service.wait_for_log("came twice, it is run once")

    assert asked(cloud) == [volume.id]
