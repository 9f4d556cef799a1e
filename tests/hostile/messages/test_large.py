# SPDX-License-Identifier: Apache-2.0
"""Messages that are fetched ahead and need too much memory, over a real RabbitMQ."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import kombu
import oslo_messaging
import pytest
from oslo_config import cfg

from tests.servers import until
from worker.rpc import server, transport

TARGET = oslo_messaging.Target(topic="large", server="h1")
COUNT = 2 * server.LEAST_PREFETCH
FETCHED = COUNT - 100
"""Messages that need too much memory together."""


class Intake:
    """Acknowledges nothing by itself."""

    def __init__(self) -> None:
        self.waiting: list[server.Undecoded] = []

    def undecoded(self, cast: server.Undecoded) -> bool:
        self.waiting.append(cast)
        return len(self.waiting) < FETCHED

    def current(self) -> list[server.Undecoded]:
        return [one for one in self.waiting if not one.is_lost()]


@pytest.fixture
def intake(rabbit_url: str, tmp_path: Any) -> Iterator[Intake]:
    conf = cfg.ConfigOpts()
    (tmp_path / "bus.conf").write_text(f"[DEFAULT]\ntransport_url = {rabbit_url}\n")
    conf([], default_config_files=[str(tmp_path / "bus.conf")])
    bus = transport.get(conf, prefetch=4096)
    intake = Intake()
    consumer = server.Server(bus, TARGET, intake)  # type: ignore[arg-type]
    consumer.start()
    yield intake
    consumer.stop()
    consumer.wait()
    bus.cleanup()


def publish(url: str) -> set[str]:
    ids = {uuid.uuid4().hex for _ in range(COUNT)}
    with (
        kombu.Connection(url.replace("rabbit://", "amqp://")) as connection,
        connection.Producer() as producer,
    ):
        for one in ids:
            message = {"method": "m", "args": {}, "_unique_id": one}
            body = {"oslo.version": "2.0", "oslo.message": json.dumps(message)}
            producer.publish(body, routing_key="large.h1", serializer="json")
    return ids


def test_fewer_are_fetched_from_then_on_and_none_is_lost(rabbit_url: str, intake: Intake) -> None:
    ids = publish(rabbit_url)
    until(lambda: len(intake.waiting) >= FETCHED, 60, "the first messages")
    until(lambda: len(intake.current()) == server.LEAST_PREFETCH, 60, "a new connection")

    seen: set[str] = set()
    handled: set[server.Undecoded] = set()

    def all_arrived() -> bool:
        for cast in set(intake.current()) - handled:
            handled.add(cast)
            decoded = cast.decoded()
            assert isinstance(decoded, server.Cast)
            seen.add(decoded.message["_unique_id"])
            cast.acknowledge()
        return seen == ids

    until(all_arrived, 60, "all messages")
