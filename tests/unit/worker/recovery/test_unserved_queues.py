# SPDX-License-Identifier: Apache-2.0
"""Casts that wait for a dead host of a cluster are named."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping

import pytest

from flows.errors import Unavailable
from tests.unit.flows.world.orphans import HOST, WHO, Left
from worker.db.criteria import BackendRows
from worker.recovery.unserved_queues import UnservedQueues

DEAD = "dead@backend"
QUEUE = f"cinder-volume.{DEAD}.dead"
LONG_AGO = datetime.datetime(2020, 1, 1)


class Broker:
    """Queues with their messages and consumers."""

    def __init__(self) -> None:
        self.depths: dict[str, tuple[int, int]] = {}
        self.asked: list[str] = []
        self.error: Exception | None = None

    def __call__(self, queues: Collection[str]) -> Mapping[str, tuple[int, int]]:
        if self.error is not None:
            raise self.error
        self.asked += queues
        return {queue: self.depths.get(queue, (0, 0)) for queue in queues}


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def queues(left: Left, broker: Broker) -> UnservedQueues:
    services = left.records.services
    for host in (HOST, "alive@backend", DEAD):
        made = services.ensure(**{**WHO, "host": host}, cluster="c@backend")
        if host != "alive@backend":
            services.update(made.id, updated_at=LONG_AGO)
    other = services.ensure(**{**WHO, "host": "other@backend"}, cluster="d@backend")
    services.update(other.id, updated_at=LONG_AGO)
    return UnservedQueues(left.records, BackendRows(HOST, "c@backend"), broker, 60.0)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]


def test_only_the_queues_of_dead_hosts_of_the_cluster_are_looked_at(
    queues: UnservedQueues, broker: Broker
) -> None:
    queues.check()

    assert broker.asked == [f"cinder-volume.{DEAD}", QUEUE]


def test_each_number_is_logged_once(
    queues: UnservedQueues, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    for ready in (3, 3, 4, 0, 4):
        broker.depths[QUEUE] = (ready, 0)
        queues.check()

    assert [line.split(" ", 1)[0] for line in lines(caplog)] == ["3", "4", "4"]
    assert f"wait in queue {QUEUE} of host {DEAD}, which is down" in lines(caplog)[0]


def test_a_queue_that_is_consumed_is_none(
    queues: UnservedQueues, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.depths[QUEUE] = (3, 1)
    queues.check()

    assert lines(caplog) == []


def test_an_outage_of_the_broker_is_no_error(
    queues: UnservedQueues, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.error = OSError("away")
    queues.check()

    assert lines(caplog) == []


def test_nothing_is_asked_without_a_cluster(left: Left, broker: Broker) -> None:
    broker.error = AssertionError("asked")

    UnservedQueues(left.records, BackendRows(HOST), broker, 60.0).check()


def test_another_host_serves_while_it_is_up(queues: UnservedQueues, left: Left) -> None:
    assert queues.another_serves()

    (alive,) = left.records.services.list(host="alive@backend")
    left.records.services.update(alive.id, updated_at=LONG_AGO)
    assert not queues.another_serves()


def test_other_hosts_are_assumed_while_the_database_is_away(
    queues: UnservedQueues, left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_equal: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(left.records.services, "list", fails)
    assert queues.another_serves()


def test_a_host_without_a_cluster_serves_alone(left: Left, broker: Broker) -> None:
    assert not UnservedQueues(left.records, BackendRows(HOST, None), broker, 60.0).another_serves()
