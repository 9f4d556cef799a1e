# SPDX-License-Identifier: Apache-2.0
"""Limits of the broker: a resource alarm, and its time-out for acknowledgements."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.functional.cloud import REQUEST, Cloud, encoded
from tests.functional.service import Service
from tests.servers import Broker, until
from worker.db import models

CONNECTOR = {"host": "compute1", "initiator": "iqn.2026-01.org.example:1"}
HEARTBEAT = 2
"""Seconds after which each side may take the other one for dead."""

BUS = {"heartbeat_timeout_threshold": HEARTBEAT}

FLOOD = 300
"""Casts of a flood, more than the 256 that are fetched at first."""

ACK_TIMEOUT = 2000
"""Milliseconds in which a consumer must acknowledge."""

Clouds = Callable[..., Cloud]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "opened"


@pytest.fixture
def start(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Clouds]:
    """A function that starts a cloud with options of [DEFAULT]."""
    made: list[Cloud] = []

    def start(**options: Any) -> Cloud:
        database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
        sections = {"DEFAULT": options, "oslo_messaging_rabbit": BUS}
        made.append(Cloud(volume_service, rabbit_url, database, tmp_path, **sections))
        made[-1].service.start()
        return made[-1]

    yield start
    for cloud in made:
        cloud.close()


def test_a_memory_alarm(start: Clouds, broker: Broker, gate: Path) -> None:
    cloud = start()
    hang = {"wait_for": str(gate)}
    cloud.script.plan(create_volume=hang, initialize_connection=hang)
    volumes = [cloud.volume() for _ in range(5)]
    for volume in volumes:
        cloud.cast("create_volume", volume=volume)
    caller = Caller(cloud)
    until(lambda: len(cloud.entries()) == 6, 60, "all to be accepted")
    with alarm(broker):
        gate.touch()
        for volume in volumes:
            cloud.wait_status(volume, "available")
        cloud.service.wait_for_log("The broker has blocked the connection")
        beats = heartbeats(cloud)
        until(lambda: heartbeats(cloud) > beats + 3 * HEARTBEAT, 60, "heartbeats")
        assert caller.answer is None
    caller.join()
    after = cloud.volume()
    cloud.cast("create_volume", volume=after)
    cloud.wait_status(after, "available")

    assert caller.answer
    assert {entry.state for entry in cloud.entries()} == {"SUCCESS"}
    assert "Traceback" not in cloud.service.text()


def test_acknowledgements_that_come_too_late(start: Clouds, broker: Broker, gate: Path) -> None:
    with short_ack_timeout(broker):
        cloud = start(executor_thread_pool_size=1, waiting_operations_max=2)
        cloud.script.plan(create_volume={"wait_for": str(gate)})
        volumes = [cloud.volume() for _ in range(8)]
        before = timeouts(broker)
        for volume in volumes:
            cloud.cast("create_volume", volume=volume)
        until(lambda: timeouts(broker) >= before + 2, 60, "two time-outs")
        assert cloud.call("initialize_connection", volume=cloud.existing(), connector=CONNECTOR)
        assert len(cloud.entries()) == 4  # one runs, two wait, and the call
        gate.touch()
        for volume in volumes:
            cloud.wait_status(volume, "available")

    assert len(cloud.script.calls("create_volume")) == len(volumes)


@pytest.mark.parametrize("durable", ["rabbit_quorum_queue"], indirect=True)
def test_restarts_do_not_use_up_the_delivery_limit(
    volume_service: Callable[..., Service],
    rabbit_url: str,
    broker: Broker,
    gate: Path,
    tmp_path: Path,
    durable: dict[str, Any],
) -> None:
    """RabbitMQ drops what came back from its consumers too often, without a trace."""
    limit, vhost = 3, rabbit_url.rpartition("/")[2]
    definition = json.dumps({"delivery-limit": limit})
    broker.ctl("set_policy", "-p", vhost, "few", ".*", definition, "--apply-to", "queues")
    options = {
        "executor_thread_pool_size": 1,
        "waiting_operations_max": 1,
        "graceful_shutdown_timeout": 1,
    }
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    cloud = Cloud(volume_service, rabbit_url, database, tmp_path, DEFAULT=options, **durable)
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    cloud.service.start()
    volumes = [cloud.volume() for _ in range(4 * limit)]
    for volume in volumes:
        cloud.cast("create_volume", volume=volume)
    for _ in range(limit + 1):
        until(lambda: len(cloud.entries()) >= 2, 60, "one to run and one to wait")
        cloud.service.stop()
        cloud.service.start()
    gate.touch()
    for volume in volumes:
        cloud.wait_status(volume, "available")
    cloud.close()


@pytest.mark.parametrize("durable", ["rabbit_quorum_queue", "amqp_durable_queues"], indirect=True)
def test_a_flood_is_fetched_further_ahead_on_one_connection(
    volume_service: Callable[..., Service],
    rabbit_url: str,
    broker: Broker,
    gate: Path,
    tmp_path: Path,
    durable: dict[str, Any],
) -> None:
    options = {"executor_thread_pool_size": 1, "waiting_operations_max": 1}
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    cloud = Cloud(volume_service, rabbit_url, database, tmp_path, DEFAULT=options, **durable)
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    cloud.service.start()
    volumes = [cloud.volume() for _ in range(FLOOD)]
    for volume in volumes:
        cloud.cast("create_volume", volume=volume)
    until(lambda: unacknowledged(broker, rabbit_url) == FLOOD - 2, 120, "all to be fetched")
    gate.touch()
    for volume in volumes:
        cloud.wait_status(volume, "available")
    cloud.close()

    assert "INTERNAL_ERROR" not in cloud.service.text()
    assert "Traceback" not in cloud.service.text()


def unacknowledged(broker: Broker, url: str) -> int:
    """Return how many messages of all queues were delivered and are not acknowledged."""
    vhost = url.rpartition("/")[2]
    counts = broker.ctl("list_queues", "-p", vhost, "messages_unacknowledged", "--no-table-headers")
    return sum(int(count) for count in counts.split() if count.isdigit())


class Caller:
    """A call, from a thread that waits for its answer."""

    def __init__(self, cloud: Cloud) -> None:
        self.answer: Any = None
        self._cloud = cloud
        self._volume = cloud.existing()
        self._thread = threading.Thread(target=self._call, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the answer."""
        self._thread.join(120)

    def _call(self) -> None:
        args = encoded({"volume": self._volume, "connector": CONNECTOR})
        client = self._cloud.client(timeout=120)
        self.answer = client.call(dict(REQUEST), "initialize_connection", **args)


@contextmanager
def alarm(broker: Broker) -> Iterator[None]:
    """Have a memory alarm, in which the broker reads from no connection that publishes."""
    broker.ctl("set_vm_memory_high_watermark", "0")
    try:
        yield
    finally:
        broker.ctl("set_vm_memory_high_watermark", "0.6")


@contextmanager
def short_ack_timeout(broker: Broker) -> Iterator[None]:
    """Have a short ``consumer_timeout`` for channels that are opened meanwhile."""
    setting = "application:set_env(rabbit, {}, {})"
    known = "application:get_env(rabbit, consumer_timeout, undefined)"
    before = broker.ctl("eval", f"{known}.").strip()
    for name, value in (("consumer_timeout", ACK_TIMEOUT), ("channel_tick_interval", 500)):
        broker.ctl("eval", setting.format(name, value) + ".")
    try:
        yield
    finally:
        for name, value in (("consumer_timeout", before), ("channel_tick_interval", 60000)):
            broker.ctl("eval", setting.format(name, value) + ".")


def timeouts(broker: Broker) -> int:
    """Return how often the broker has given a consumer up."""
    logs = (broker.directory / "log").glob("*.log")
    return sum(log.read_text(errors="replace").count("has timed out waiting") for log in logs)


def heartbeats(cloud: Cloud) -> int:
    """Return how often the service wrote its heartbeat into its row."""
    with cloud.database.reader() as connection:
        return int(connection.execute(sa.select(models.services.c.report_count)).scalar_one())
