# SPDX-License-Identifier: Apache-2.0
"""A service is frozen for longer than the broker waits, with a standby on the same machine."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import kombu
import pytest

from tests.functional.cloud import HOST, NODE, Cloud
from tests.functional.service import Service
from tests.servers import until

QUEUE = f"cinder-volume.{HOST}.{NODE}"
SERVES = "takes operations for"
HEARTBEAT = 2
"""Seconds; the broker gives a silent connection up after three times as long at most."""

SECTIONS = {
    "DEFAULT": {"executor_thread_pool_size": 2, "waiting_operations_max": 2},
    "oslo_messaging_rabbit": {"heartbeat_timeout_threshold": HEARTBEAT},
}


@pytest.fixture
def cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Cloud]:
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    made = Cloud(volume_service, rabbit_url, database, tmp_path, **SECTIONS)
    yield made
    made.close()


@pytest.fixture
def standby(cloud: Cloud, volume_service: Callable[..., Service], tmp_path: Path) -> Service:
    """A second service with the state path of the first one: the same locks and journal."""
    made = volume_service(
        bus=cloud.bus, database=f"sqlite:///{tmp_path / 'cinder.sqlite'}", backends=cloud.backends
    )
    made.config.write_text(cloud.service.config.read_text())
    return made


def consumers(cloud: Cloud) -> int:
    with kombu.Connection(cloud.bus.replace("rabbit://", "amqp://")) as connection:
        found = connection.channel().queue_declare(QUEUE, passive=True)
        return int(found.consumer_count)


def test_its_standby_waits_and_no_operation_is_lost_or_repeated(
    cloud: Cloud, standby: Service, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    cloud.service.start()
    first = cloud.service.process
    assert first is not None
    volumes = [cloud.volume() for _ in range(10)]
    for volume in volumes[:7]:
        cloud.cast("create_volume", volume=volume)
    until(lambda: len(cloud.entries()) == 4, 60, "two to run and two to wait")
    standby.launch()
    standby.wait_for_log("another process still serves")
    first.send(signal.SIGSTOP, family=True)
    for volume in volumes[7:]:
        cloud.cast("create_volume", volume=volume)
    # Three casts were delivered and not accepted: the broker has them again.
    until(lambda: not consumers(cloud), 60, "the broker to give the service up")
    assert len(cloud.entries()) == 4
    first.send(signal.SIGCONT, family=True)
    until(lambda: consumers(cloud), 60, "the service to be back")
    gate.touch()
    for volume in volumes:
        cloud.wait_status(volume, "available")
    cloud.wait_idle()

    assert SERVES not in standby.text()
    made = [call["id"] for call in cloud.script.calls("create_volume")]
    assert sorted(made) == sorted(volume.id for volume in volumes)
    assert len(cloud.entries()) == len(volumes)

    cloud.service.kill()
    standby.wait_for_log(SERVES)
    last = cloud.volume()
    cloud.cast("create_volume", volume=last)
    cloud.wait_status(last, "available")
