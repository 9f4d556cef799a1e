# SPDX-License-Identifier: Apache-2.0
"""The bus of the notifications is blocked, or a black hole: operations do not notice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.outages import work
from tests.faults.outages.proxy import Link
from tests.functional.cloud import Cloud
from tests.notifications import Notifications
from tests.servers import Broker, patient, until

CREATES = 20
AT_MOST = 60.0
"""Seconds for all operations; each of them waited for its notifications before, for ever."""

SILENT = 3600.0
"""Seconds by which the link of a black hole holds up each piece."""

PATIENCE = 90.0
LOST = r"notifications are not sent, operations continue without them"
BACK = r"notifications are sent again after ([\d.]+) s, 0 were dropped"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker for notifications alone."""
    made = Broker(tmp_path_factory.mktemp("notifications"))
    made.start()
    yield made
    made.close()


@pytest.fixture
def link(other: Broker) -> Iterator[Link]:
    """The network between the service and that broker."""
    made = Link(other.port)
    yield made
    made.cut()


class Notified:
    """A cloud whose notifications go to a broker of their own, through a link."""

    def __init__(self, cloud: Cloud, notices: Notifications) -> None:
        self.cloud = cloud
        self.notices = notices

    def create(self, count: int) -> list[work.Job]:
        """Create volumes and wait until all are available, in a bounded time."""
        jobs = [work.create_volume(self.cloud) for _ in range(count)]
        begin = time.monotonic()
        for job in jobs:
            job.send()
        for job in jobs:
            self.cloud.wait_status(job.resource, "available")
        assert time.monotonic() - begin < patient(AT_MOST)
        return jobs

    def heard(self, job: work.Job) -> bool:
        """Wait for both notifications of a creation; they are in order."""
        wanted = ["volume.create.start", "volume.create.end"]
        volume = job.resource.id
        until(lambda: len(self.notices.of(volume)) >= 2, PATIENCE, f"notifications of {volume}")
        return self.notices.of(volume) == wanted


@pytest.fixture
def notified(
    other: Broker,
    link: Link,
    make_cloud: Callable[..., Cloud],
    new_database: Callable[[str], str],
) -> Iterator[Notified]:
    url = other.vhost()
    notices = Notifications(url)
    section = {
        "driver": "messagingv2",
        "transport_url": url.replace(f":{other.port}/", f":{link.port}/"),
    }
    cloud = make_cloud(
        new_database("sqlite"),
        module="worker.cmd.volume",
        oslo_messaging_notifications=section,
    )
    cloud.service.start()
    made = Notified(cloud, notices)
    (first,) = made.create(1)
    assert made.heard(first)
    yield made
    notices.close()


@pytest.mark.lasts(30)
def test_a_resource_alarm_of_the_notifications_broker(notified: Notified, other: Broker) -> None:
    other.ctl("set_vm_memory_high_watermark", "0")
    try:
        jobs = notified.create(CREATES)
        notified.cloud.service.wait_for_log(LOST, PATIENCE)
    finally:
        other.ctl("set_vm_memory_high_watermark", "0.6")
    assert all(notified.heard(job) for job in jobs)
    notified.cloud.service.wait_for_log(BACK, PATIENCE)

    log = notified.cloud.service.text()
    assert log.count("notifications are not sent") == 1
    assert "the message bus is away" not in log
    work.quiet(log, 5)


def test_a_black_hole_in_place_of_the_notifications_broker(notified: Notified, link: Link) -> None:
    link.delay = SILENT
    jobs = notified.create(CREATES)
    # A later one finds that the first has waited for too long.
    until(lambda: _reported(notified), PATIENCE, "a warning")
    link.delay = 0.0
    link.drop()
    assert all(notified.heard(job) for job in jobs)
    notified.cloud.service.wait_for_log(BACK, PATIENCE)

    log = notified.cloud.service.text()
    assert log.count("notifications are not sent") == 1
    assert "the message bus is away" not in log
    work.quiet(log, 5)


def test_a_stop_does_not_wait_for_a_black_hole(notified: Notified, link: Link) -> None:
    link.delay = SILENT
    notified.create(3)

    assert notified.cloud.service.stop(30.0) == 0
    assert "notifications were not sent before the stop" in notified.cloud.service.text()


def _reported(notified: Notified) -> bool:
    notified.create(1)
    return "notifications are not sent" in notified.cloud.service.text()


def test_a_broker_that_does_not_answer_at_all(
    make_cloud: Callable[..., Cloud], new_database: Callable[[str], str], tmp_path: Path
) -> None:
    section = {"driver": "messagingv2", "transport_url": "rabbit://u:hush@127.0.0.1:1/"}
    cloud = make_cloud(
        new_database("sqlite"),
        module="worker.cmd.volume",
        oslo_messaging_notifications=section,
    )
    cloud.service.start()
    jobs = [work.create_volume(cloud) for _ in range(CREATES)]
    for job in jobs:
        job.send()
    work.check(cloud, jobs)
    cloud.service.wait_for_log(LOST, PATIENCE)

    log = cloud.service.text()
    assert log.count("notifications are not sent") == 1
    assert "hush" not in log
    work.quiet(log, 5)
