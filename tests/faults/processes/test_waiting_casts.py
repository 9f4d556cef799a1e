# SPDX-License-Identifier: Apache-2.0
"""Casts that wait in a queue are all carried out; none finds its volume in error."""

from __future__ import annotations

import functools
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import kombu
import pytest

from drivers.interface.records import Record
from tests.faults.outages.proxy import Link
from tests.functional.cloud import BACKEND, HOST, Cloud
from tests.functional.service import Service
from tests.servers import Broker, until

MODULE = "tests.functional.operations.host.no_grace"
SCHEDULERS = "cinder-scheduler"
ENDED = r"was left .* by another service"

Clouds = Callable[..., Cloud]


@pytest.fixture
def make_cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Clouds]:
    """A function from processes, slots, seconds per call and a bus to a cloud."""
    made: list[Cloud] = []

    def make(processes: int = 1, slots: int = 64, takes: float = 0.0, bus: str = "") -> Cloud:
        backend = {
            "volume_driver": "tests.faults.processes.timed.TimedDriver",
            "processes": processes,
            "takes": takes,
        }
        service = functools.partial(volume_service, module=MODULE)
        database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
        options = {"executor_thread_pool_size": slots}
        sections: dict[str, Any] = {BACKEND: backend, "DEFAULT": options}
        made.append(Cloud(service, bus or rabbit_url, database, tmp_path, **sections))
        return made[-1]

    yield make
    for cloud in made:
        cloud.close()


def waiting(cloud: Cloud, count: int) -> list[Record]:
    """Return volumes whose creations wait in the queue."""
    volumes = [cloud.volume() for _ in range(count)]
    for volume in volumes:
        cloud.cast("create_volume", volume=volume)
    return volumes


def begun_and_stopped(cloud: Cloud) -> None:
    """Have the service declare its queues."""
    cloud.service.start()
    cloud.service.stop()


@contextmanager
def consumer(url: str, queue: str) -> Iterator[None]:
    """Consume a queue, and acknowledge nothing."""
    with kombu.Connection(url.replace("rabbit:", "amqp:")) as connection:
        channel = connection.channel()
        channel.basic_qos(0, 1, False)
        channel.basic_consume(queue, callback=lambda _message: None)
        yield


def another_second() -> None:
    """Wait until rows that are written from now on have another time."""
    now = int(time.time())
    until(lambda: int(time.time()) > now, 5, "another second")


def all_made(cloud: Cloud, volumes: list[Record], orphan: Record) -> None:
    for volume in volumes:
        cloud.wait_status(volume, "available")
    cloud.wait_status(orphan, "error_extending")
    cloud.wait_idle()
    assert [cloud.status(volume) for volume in volumes] == ["available"] * len(volumes)
    ended = re.findall(rf"volume (\S+) {ENDED}", cloud.service.text())
    assert ended == [orphan.id]


def test_prefetched_by_a_busy_neighbour(make_cloud: Clouds) -> None:
    cloud = make_cloud(2, slots=1, takes=1.5)
    begun_and_stopped(cloud)
    orphan, volumes = cloud.existing("extending"), waiting(cloud, 12)
    another_second()
    cloud.service.start()

    all_made(cloud, volumes, orphan)


def test_after_the_death_of_a_child(make_cloud: Clouds) -> None:
    cloud = make_cloud(2, slots=1, takes=1.5)
    cloud.service.start()
    children = cloud.service.children()
    orphan, volumes = cloud.existing("extending"), waiting(cloud, 12)
    another_second()
    for child in children[:1]:
        os.kill(child, signal.SIGKILL)

    for volume in volumes:
        cloud.wait_status(volume, "available")
    cloud.wait_idle()
    cloud.service.stop()
    cloud.service.start()
    all_made(cloud, volumes, orphan)


def test_a_standby_that_takes_over(
    make_cloud: Clouds, volume_service: Callable[..., Service], tmp_path: Path
) -> None:
    cloud = make_cloud(1, slots=1, takes=1.5)
    cloud.service.start()
    orphan, volumes = cloud.existing("extending"), waiting(cloud, 8)
    another_second()
    standby = volume_service(bus="", database="", module=MODULE)
    standby.config.write_text(cloud.service.config.read_text())
    standby.launch()
    standby.wait_for_log("another process still serves")
    cloud.service.kill()

    for volume in volumes:
        cloud.wait_status(volume, "available")
    cloud.wait_status(orphan, "error_extending")
    assert re.findall(rf"volume (\S+) {ENDED}", standby.text()) == [orphan.id]
    standby.stop()


def test_broker_away_at_the_start(make_cloud: Clouds, rabbit_url: str, broker: Broker) -> None:
    link = Link(broker.port)
    cloud = make_cloud(bus=re.sub(r":\d+/", f":{link.port}/", rabbit_url))
    begun_and_stopped(cloud)
    orphan, volumes = cloud.existing("extending"), waiting(cloud, 10)
    deletions = [cloud.existing("deleting") for _ in range(3)]
    for volume in deletions:
        cloud.cast("delete_volume", volume=volume)
    another_second()
    link.cut()
    cloud.service.launch()
    cloud.service.wait_for_log("14 resources of .* stay in transient statuses, as casts .* may")
    assert {cloud.status(volume) for volume in volumes} == {"creating"}
    assert {cloud.status(volume) for volume in deletions} == {"deleting"}
    link.mend()

    all_made(cloud, volumes, orphan)
    for volume in deletions:
        cloud.wait_status(volume, "gone")
    link.cut()


def test_another_service_on_the_queue(make_cloud: Clouds, rabbit_url: str) -> None:
    """It may hold casts: nothing is ended until it has gone."""
    cloud = make_cloud()
    begun_and_stopped(cloud)
    orphan = cloud.existing("extending")
    another_second()
    with consumer(rabbit_url, f"cinder-volume.{HOST}.h1"):
        cloud.service.start()
        cloud.service.wait_for_log("1 resources of .* stay .* another service may consume it")
        assert cloud.status(orphan) == "extending"

    cloud.wait_status(orphan, "error_extending")


def test_a_frozen_scheduler_beside_one_that_works(make_cloud: Clouds, rabbit_url: str) -> None:
    """It may hold a cast until the broker gives it up: nothing is ended until then."""
    cloud = make_cloud()
    begun_and_stopped(cloud)
    orphan = cloud.existing("extending")
    works, _frozen = (scheduler(cloud, host) for host in ("s1", "s2"))
    another_second()
    with ExitStack() as stack:
        channel = stack.enter_context(
            kombu.Connection(rabbit_url.replace("rabbit:", "amqp:"))
        ).channel()
        channel.queue_declare(SCHEDULERS, auto_delete=False)
        stack.enter_context(consumer(rabbit_url, SCHEDULERS))
        with consumer(rabbit_url, SCHEDULERS):
            cloud.service.start()
            cloud.records.services.update(works, report_count=2)
            cloud.service.wait_for_log("1 resources of .* stay .* 2 consumers, of which 1")
            assert cloud.status(orphan) == "extending"

        cloud.wait_status(orphan, "error_extending")


def scheduler(cloud: Cloud, host: str) -> int:
    """Return the id of the row of a scheduler."""
    versions = {"rpc_version": "3.12", "object_version": "1.39", "availability_zone": "nova"}
    rows = cloud.records.services
    return int(rows.ensure(host=host, binary=SCHEDULERS, topic=SCHEDULERS, **versions).id)
