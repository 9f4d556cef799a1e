# SPDX-License-Identifier: Apache-2.0
"""The bus goes away, hangs, crawls, or loses a connection in the middle of a cast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.outages import kinds, work
from tests.faults.outages.lengths import LENGTHS, QUICK
from tests.faults.outages.proxy import Link
from tests.functional.cloud import Cloud
from tests.servers import Broker

DATABASE = "sqlite"


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
    """Send casts before, during and after an outage; return the log of that time."""
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

    work.told_once(log, outage, length - 1)
    work.quiet(log, 10)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_broker_is_stopped(cloud: Cloud, broker: Broker, length: float) -> None:
    outage = kinds.broker_stopped(broker)
    log = outlast(cloud, outage, length)

    work.told_once(log, outage, length - 1)
    work.quiet(log, 10)


@pytest.mark.parametrize(
    ("durable", "kind"),
    [
        ("amqp_durable_queues", kinds.broker_restarted),
        ("rabbit_quorum_queue", kinds.broker_stopped),
    ],
    indirect=["durable"],
)
def test_the_node_starts_again_with_its_queues(
    cloud: Cloud, broker: Broker, kind: Callable[[Broker], kinds.Outage]
) -> None:
    outage = kind(broker)
    log = outlast(cloud, outage, QUICK)

    work.told_once(log, outage, QUICK - 1)
    work.quiet(log, 10)


def test_the_connection_is_cut_in_the_middle_of_casts(cloud: Cloud, link: Link) -> None:
    jobs = jobs_of(cloud, 15)
    for job in jobs[::3]:
        link.cut_within(job.resource.id.encode())
    for job in jobs:
        job.send()
    work.check(cloud, jobs)

    assert link.cuts >= len(jobs) // 5
    work.quiet(cloud.service.text(), 20)


def test_a_broker_that_hangs_loses_nothing(cloud: Cloud, broker: Broker) -> None:
    outlast(cloud, kinds.broker_frozen(broker), QUICK)


@pytest.mark.parametrize("delay", [0.2, pytest.param(1.0, marks=pytest.mark.full)])
def test_a_slow_broker_loses_nothing(cloud: Cloud, link: Link, delay: float) -> None:
    with kinds.link_slow(link, delay).during():
        jobs = jobs_of(cloud, 10)
        for job in jobs:
            job.send()
        work.check(cloud, jobs)

    work.quiet(cloud.service.text(), 10)
