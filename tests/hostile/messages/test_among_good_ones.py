# SPDX-License-Identifier: Apache-2.0
"""Hostile messages are rejected and kept, and every good one is carried out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import kombu
import pytest

from tests.functional.cloud import HOST, NODE, Cloud
from tests.functional.service import Service
from tests.hostile.messages import samples
from tests.hostile.messages.samples import Message
from tests.servers import until

KEPT = 200


@pytest.fixture
def cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Cloud]:
    url = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    made = Cloud(volume_service, rabbit_url, url, tmp_path, journal={"keep_rejected": KEPT})
    made.service.start()
    yield made
    made.close()


class Sender:
    """Puts messages into the backend's queue that no client would send."""

    def __init__(self, cloud: Cloud) -> None:
        self._connection = kombu.Connection(cloud.bus.replace("rabbit://", "amqp://"))
        self._producer = self._connection.Producer()
        self._exchange = kombu.Exchange("openstack", "topic", durable=False)

    def __call__(self, message: Message) -> None:
        self._producer.publish(
            message.body,
            exchange=self._exchange,
            routing_key=f"cinder-volume.{HOST}.{NODE}",
            content_type=message.content_type,
            content_encoding=message.content_encoding,
        )


def all_taken(cloud: Cloud) -> None:
    """Wait until the queue is empty, by a cast that comes last."""
    last = cloud.volume()
    cloud.cast("create_volume", volume=last)
    until(lambda: cloud.status(last) == "available", 120, "the last cast")


def unhurt(cloud: Cloud) -> None:
    log = cloud.service.text()
    assert "stays with the broker" not in log, log[-3000:]
    assert "a-secret-token" not in log
    assert len(log) < 50_000_000


@pytest.mark.timeout(600)
def test_good_ones_are_done_among_bad_ones(cloud: Cloud, chance: random.Random, full: bool) -> None:
    good, bad = (1_000, 10_000) if full else (50, 500)
    send = Sender(cloud)
    volumes = [cloud.volume() for _ in range(good)]
    waiting = list(volumes)
    for number in range(good + bad):
        if number % (bad // good + 1) == 0:
            cloud.cast("create_volume", volume=waiting.pop())
        else:
            send(samples.bad(chance))
    assert not waiting
    all_taken(cloud)

    for volume in volumes:
        until(lambda: cloud.status(volume) == "available", 60, "a good one")  # noqa: B023
    cloud.wait_idle()
    assert {volume.name for volume in volumes} <= cloud.script.objects()
    assert 0 < len(cloud.entries(rejected=True)) <= KEPT + 256
    unhurt(cloud)


def test_one_of_ten_mebibytes_leaves_no_trace_of_its_size(cloud: Cloud) -> None:
    send = Sender(cloud)
    for _ in range(3):
        send(samples.huge(10))
    all_taken(cloud)

    rejected = cloud.entries(rejected=True)
    assert len(rejected) == 3
    journal = cloud.service.directory / "state" / "journal.sqlite"
    assert journal.stat().st_size < samples.MIB
    unhurt(cloud)


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_one_that_is_very_deep(cloud: Cloud, depth: int) -> None:
    send = Sender(cloud)
    send(Message(samples.nested(depth).encode()))
    all_taken(cloud)

    assert len(cloud.entries(rejected=True)) == 1
    unhurt(cloud)


@pytest.mark.parametrize("coding", samples.ENCODINGS)
def test_one_of_an_unknown_encoding(cloud: Cloud, coding: tuple[str, str]) -> None:
    send = Sender(cloud)
    send(Message(b"\x80\x02}q\x00.", *coding))
    all_taken(cloud)

    assert len(cloud.entries(rejected=True)) == 1
    unhurt(cloud)
