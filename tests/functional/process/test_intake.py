# SPDX-License-Identifier: Apache-2.0
"""Messages pass where others cannot: a hot resource, slow casts, an image service that hangs,
a journal that is away; and the consumers stay at the broker meanwhile."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import amqp
import kombu
import oslo_messaging
import pytest

from drivers.interface.records import Record
from tests.functional.cloud import HOST, NODE, REQUEST, Cloud, encoded
from tests.functional.service import Service
from tests.servers import Broker, until
from worker.execution.pools.resume_pool import THREADS as RESUME_THREADS

QUEUE = f"cinder-volume.{HOST}.{NODE}"
CONNECTOR = {"host": "compute1", "initiator": "iqn.2026-01.org.example:1"}
HEARTBEAT = 4
"""Seconds without a sign of life after which the broker cuts a connection."""

LONG = 3.5 * HEARTBEAT
BUS = {"oslo_messaging_rabbit": {"heartbeat_timeout_threshold": HEARTBEAT}}

Clouds = Callable[..., Cloud]


@pytest.fixture
def make_cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Clouds]:
    made: list[Cloud] = []

    def make(**sections: Any) -> Cloud:
        database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
        made.append(Cloud(volume_service, rabbit_url, database, tmp_path, **sections))
        return made[-1]

    yield make
    for cloud in made:
        cloud.close()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@contextlib.contextmanager
def no_cut(cloud: Cloud, broker: Broker) -> Iterator[None]:
    """Check that neither side gives a connection up meanwhile."""
    log = broker.directory / "log"
    missed = _missed(log)
    yield
    assert _missed(log) == missed
    assert "connects to the message bus anew" not in cloud.service.text()
    assert "message bus is away" not in cloud.service.text()


def _missed(log: Path) -> int:
    return sum(
        path.read_text(errors="replace").count("missed heartbeats") for path in log.glob("*.log")
    )


def create(cloud: Cloud, count: int, **args: Any) -> list[Record]:
    """Cast the creation of new volumes."""
    volumes = [cloud.volume() for _ in range(count)]
    for volume in volumes:
        cloud.cast("create_volume", volume=volume, **args)
    return volumes


def passes(cloud: Cloud) -> None:
    """Check that a call is answered, and that a creation is carried out."""
    volume = cloud.existing()
    assert cloud.call("initialize_connection", volume=volume, connector=CONNECTOR)


def test_a_hot_volume_does_not_stall_the_others(make_cloud: Clouds, gate: Path) -> None:
    cloud = make_cloud(DEFAULT={"executor_thread_pool_size": 4})
    cloud.script.plan(extend_volume={"wait_for": str(gate)})
    cloud.service.start()
    hot = cloud.existing("extending")
    cloud.cast("extend_volume", volume=hot, new_size=2, reservations=[])
    until(lambda: bool(cloud.script.calls("extend_volume")), 60, "the extension to hang")
    snapshots = [cloud.snapshot(hot) for _ in range(120)]
    for snapshot in snapshots:
        cloud.cast("create_snapshot", snapshot=snapshot)
    (other,) = create(cloud, 1)
    cloud.wait_status(other, "available")
    passes(cloud)
    taken = len(cloud.entries())
    assert not gate.exists()
    gate.touch()
    for snapshot in snapshots:
        cloud.wait_status(snapshot, "available")

    assert taken == 103  # the extension, a hundred snapshots, the creation, the call


class TestFlood:
    """A project casts hundreds of creations, and another one a single creation after them."""

    COUNT = 200

    @pytest.fixture
    def flooded(self, make_cloud: Clouds, gate: Path) -> tuple[Cloud, list[Record]]:
        """A service with two threads, the first of which wait in the driver."""
        cloud = make_cloud(DEFAULT={"executor_thread_pool_size": 2})
        cloud.script.plan(create_volume={"wait_for": str(gate)})
        cloud.service.start()
        volumes = [*create(cloud, self.COUNT), cloud.volume(project_id="another")]
        cloud.cast_of("another", "create_volume", volume=volumes[-1])
        until(lambda: len(cloud.entries()) == len(volumes), 60, "all casts in the journal")
        return cloud, volumes

    def test_another_project_gets_the_next_thread(
        self, flooded: tuple[Cloud, list[Record]], gate: Path
    ) -> None:
        cloud, volumes = flooded
        self._check(cloud, volumes, gate, before=0)

    def test_it_does_so_after_a_restart(
        self, flooded: tuple[Cloud, list[Record]], gate: Path
    ) -> None:
        cloud, volumes = flooded
        cloud.service.kill()
        before = len(cloud.script.calls("create_volume"))
        cloud.service.start()
        self._check(cloud, volumes, gate, before)

    def _check(self, cloud: Cloud, volumes: list[Record], gate: Path, before: int) -> None:
        """Check the rank of the last creation, and that those of one project run in order."""
        gate.touch()
        for volume in volumes:
            cloud.wait_status(volume, "available")
        begun = [one["id"] for one in cloud.script.calls("create_volume")][before:]
        rank = begun.index(volumes[-1].id)
        flood = {volume.id: number for number, volume in enumerate(volumes[:-1])}
        order = [flood[one] for one in dict.fromkeys(begun) if one in flood]

        # Those that had a thread when it came, and the one that was next then.
        assert rank <= RESUME_THREADS + 1
        assert all(number - place <= RESUME_THREADS for place, number in enumerate(order))


class TestFullThreads:
    def test_the_connection_lives_and_all_are_served(
        self, make_cloud: Clouds, gate: Path, broker: Broker
    ) -> None:
        options = {"executor_thread_pool_size": 1, "waiting_operations_max": 2}
        cloud = make_cloud(DEFAULT=options, **BUS)
        cloud.script.plan(create_volume={"wait_for": str(gate)})
        cloud.service.start()
        with no_cut(cloud, broker):
            volumes = create(cloud, 6)
            until(lambda: len(cloud.entries()) == 3, 60, "one to run and two to wait")
            time.sleep(LONG)
            assert len(cloud.entries()) == 3
            gate.touch()
            for volume in volumes:
                cloud.wait_status(volume, "available")

        assert len(cloud.script.calls("create_volume")) == 6

    def test_calls_pass_and_those_without_a_caller_are_left_out(
        self, make_cloud: Clouds, gate: Path
    ) -> None:
        cloud = make_cloud(DEFAULT={"executor_thread_pool_size": 4})
        busy = cloud.existing()
        hang = {"wait_for": str(gate)}
        cloud.script.plan(create_volume=hang, initialize_connection={**hang, "only": busy.id})
        cloud.service.start()
        volumes = create(cloud, 200)
        until(lambda: len(cloud.entries()) == 200, 60, "all to be accepted")
        passes(cloud)
        args = encoded({"volume": busy, "connector": CONNECTOR})
        for _ in ("hangs", "waits for its turn"):
            with pytest.raises(oslo_messaging.MessagingTimeout):
                cloud.client(timeout=1).call(dict(REQUEST), "initialize_connection", **args)
        gate.touch()
        cloud.service.wait_for_log("initialize_connection is not carried out")
        for volume in volumes:
            cloud.wait_status(volume, "available")

        called = [call["id"] for call in cloud.script.calls("initialize_connection")]
        assert called.count(busy.id) == 1

    def test_an_image_service_that_hangs_stops_no_others(
        self, make_cloud: Clouds, tmp_path: Path
    ) -> None:
        hung = "tests.functional.process.hung_images.HungImages"
        cloud = make_cloud(DEFAULT={"image_service": hung})
        cloud.service.start()
        image = cloud.image()
        mark = Path(f"{cloud.service.directory}/state/images/hung")
        mark.touch()
        spec = {"image_id": image["id"], "volume_properties": {"size": 1}}
        waiting = create(cloud, 8, request_spec=spec)
        until(lambda: len(cloud.entries()) == 8, 60, "all to be accepted")
        (other,) = create(cloud, 1)
        cloud.wait_status(other, "available")
        passes(cloud)
        assert {cloud.status(volume) for volume in waiting} <= {"creating", "downloading"}
        mark.unlink()

        for volume in waiting:
            cloud.wait_status(volume, "available")


def test_queues_that_were_deleted_are_declared_again(make_cloud: Clouds, rabbit_url: str) -> None:
    cloud = make_cloud()
    cloud.service.start()
    with kombu.Connection(rabbit_url.replace("rabbit://", "amqp://")) as connection:
        assert _consumers(connection) == 1
        connection.channel().queue_delete(QUEUE)
        until(lambda: _consumers(connection) == 1, 60, "the consumer to be back")
    (volume,) = create(cloud, 1)

    cloud.wait_status(volume, "available")
    passes(cloud)


@pytest.mark.parametrize("again", [False, True], ids=["gone", "made again without bindings"])
def test_an_exchange_that_was_deleted_leads_to_the_queues_again(
    make_cloud: Clouds, rabbit_url: str, again: bool
) -> None:
    cloud = make_cloud()
    cloud.service.start()
    with kombu.Connection(rabbit_url.replace("rabbit://", "amqp://")) as connection:
        channel = connection.channel()
        channel.exchange_delete("openstack")
        if again:  # by another service of the bus
            kombu.Exchange("openstack", "topic", durable=False, channel=channel).declare()
        until(lambda: _takes(connection, "openstack", QUEUE), 60, "the queue to be bound")
    (volume,) = create(cloud, 1)

    cloud.wait_status(volume, "available")
    passes(cloud)


def test_nothing_is_lost_while_the_journal_is_away(make_cloud: Clouds, broker: Broker) -> None:
    cloud = make_cloud(**BUS)
    cloud.service.start()
    journal = sqlite3.connect(
        f"{cloud.service.directory}/state/journal.sqlite", isolation_level=None
    )
    with no_cut(cloud, broker), contextlib.closing(journal):
        journal.execute("BEGIN IMMEDIATE")
        volumes = create(cloud, 5)
        time.sleep(LONG)
        assert cloud.call("get_capabilities", discover=False)  # needs no journal
        assert cloud.entries() == []
        journal.execute("ROLLBACK")
        for volume in volumes:
            cloud.wait_status(volume, "available")


def _takes(connection: Any, exchange: str, queue: str) -> bool:
    """Return whether a message with the name of a queue gets there: the broker returns others.

    The probe is of no version that the service knows, and is put aside.
    """
    channel, returned = connection.channel(), []
    channel.events["basic_return"].add(lambda *answer: returned.append(answer))
    try:
        channel.confirm_select()
        channel.basic_publish_confirm(amqp.Message(b"probe"), exchange, queue, mandatory=True)
        return not returned
    except connection.channel_errors:
        return False
    finally:
        with contextlib.suppress(Exception):
            channel.close()


def _consumers(connection: Any) -> int:
    channel = connection.channel()
    try:
        return int(channel.queue_declare(QUEUE, passive=True).consumer_count)
    except connection.channel_errors:
        return 0
    finally:
        with contextlib.suppress(Exception):
            channel.close()
