# SPDX-License-Identifier: Apache-2.0
"""Messages that are fetched further ahead under load, over a real RabbitMQ: none is lost."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import kombu
import oslo_messaging
import pytest
from oslo_config import cfg

from tests.servers import until
from worker.rpc import server, transport

TARGET = oslo_messaging.Target(topic="large", server="h1")
USUAL, AHEAD, COUNT = 50, 400, 300
TOO_MANY = 200
"""Messages that need too much memory together, in the second test."""


class Intake:
    """Acknowledges nothing by itself."""

    def __init__(self) -> None:
        self.waiting: list[server.Cast] = []
        self.most = COUNT + 1

    def cast(self, cast: server.Cast) -> bool:
        self.waiting.append(cast)
        return len(self.waiting) < self.most

    def current(self) -> list[server.Cast]:
        return [one for one in self.waiting if not one.is_lost()]


@pytest.fixture
def serve(rabbit_url: str, tmp_path: Path) -> Iterator[Callable[[Intake], server.Server]]:
    conf = cfg.ConfigOpts()
    (tmp_path / "bus.conf").write_text(f"[DEFAULT]\ntransport_url = {rabbit_url}\n")
    conf([], default_config_files=[str(tmp_path / "bus.conf")])
    bus = transport.get(conf, prefetch=USUAL)
    started = []

    def start(intake: Intake) -> server.Server:
        consumer = server.Server(bus, TARGET, intake, ahead=AHEAD)  # type: ignore[arg-type]
        consumer.start()
        started.append(consumer)
        return consumer

    yield start
    for consumer in started:
        consumer.stop()
        consumer.wait()
    bus.cleanup()


def publish(url: str) -> set[str]:
    ids = {uuid.uuid4().hex for _ in range(COUNT)}
    address = url.replace("rabbit://", "amqp://")
    with kombu.Connection(address) as connection, connection.Producer() as producer:
        for one in ids:
            message = {"method": "m", "args": {}, "_unique_id": one}
            body = {"oslo.version": "2.0", "oslo.message": json.dumps(message)}
            producer.publish(body, routing_key="large.h1", serializer="json")
    return ids


def require_all(intake: Intake, ids: set[str]) -> None:
    """Acknowledge each message that is there or comes, until all have come."""
    seen: set[str] = set()
    handled: set[server.Cast] = set()

    def all_arrived() -> bool:
        for cast in set(intake.current()) - handled:
            handled.add(cast)
            message, _context = cast.read()
            seen.add(message["_unique_id"])
            cast.acknowledge()
        return seen == ids

    until(all_arrived, 60, "all messages")


def test_all_are_fetched_over_one_channel(
    rabbit_url: str, serve: Callable[[Intake], server.Server]
) -> None:
    serve(intake := Intake())
    ids = publish(rabbit_url)

    until(lambda: len(intake.waiting) == COUNT, 60, "the messages")
    assert len(intake.current()) == COUNT
    require_all(intake, ids)
    assert len(intake.waiting) == COUNT, "none is delivered again"


def test_no_more_than_usual_are_fetched_of_those_that_came_back(
    rabbit_url: str, serve: Callable[[Intake], server.Server]
) -> None:
    intake = Intake()
    intake.most = TOO_MANY
    serve(intake)
    ids = publish(rabbit_url)
    until(lambda: len(intake.waiting) >= TOO_MANY, 60, "the first messages")

    until(lambda: len(intake.current()) == USUAL, 60, "a new connection")
    intake.most = 10 * COUNT
    require_all(intake, ids)
