# SPDX-License-Identifier: Apache-2.0
"""The bus goes away, hangs, crawls, or loses a connection in the middle of a cast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.outages import kinds, work
from tests.faults.outages.lengths import LENGTHS
from tests.faults.outages.proxy import Link
from tests.functional.cloud import Cloud
from tests.servers import Broker

DATABASE = "sqlite"


@pytest.fixture
def link(broker: Broker) -> Iterator[Link]:
    """The network between the service and RabbitMQ; those who cast go straight."""
    made = Link(broker.port)
    yield made
    made.cut()


@pytest.fixture
def cloud(
    make_cloud: Callable[..., Cloud],
    new_database: Callable[[str], str],
    rabbit_url: str,
    broker: Broker,
    link: Link,
    durable: dict[str, Any],
    gate: work.Gate,
) -> Cloud:
    """A cloud whose service reaches the bus through the link."""
    through = rabbit_url.replace(f":{broker.port}/", f":{link.port}/")
    made = make_cloud(new_database(DATABASE), service_bus=through, **durable)
    made.service.start()
    return made


def jobs_of(cloud: Cloud, count: int) -> list[work.Job]:
    """Prepare casts of all kinds."""
    makers = work.OPERATIONS
    return [makers[number % len(makers)](cloud) for number in range(count)]


def outlast(cloud: Cloud, outage: kinds.Outage, length: float) -> str:
    """Send casts before, during and after an outage; return what was logged meanwhile."""
    pause = 0.1
    jobs = jobs_of(cloud, int(length / pause) + 20)
    stream = work.Stream(jobs, pause)
    before = cloud.service.position()
    stream.start()
    outage.last(length)
    stream.join()
    work.check(cloud, jobs)
    after = work.create_volume(cloud)
    after.send()
    work.check(cloud, [*jobs, after])
    return cloud.service.text(before)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_network_to_the_broker_is_gone(cloud: Cloud, link: Link, length: float) -> None:
    outage = kinds.link_cut(link)
    log = outlast(cloud, outage, length)

    assert outage.told
    work.told_once(log, outage.told, length - 1, length + 10)
    work.quiet(log, 10)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_broker_is_stopped(cloud: Cloud, broker: Broker, length: float) -> None:
    outage = kinds.broker_stopped(broker)
    log = outlast(cloud, outage, length)

    assert outage.told
    work.told_once(log, outage.told, length - 1, length + 20)
    work.quiet(log, 10)
