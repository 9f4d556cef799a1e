# SPDX-License-Identifier: Apache-2.0
"""Proof that no cast waits, by a queue in memory that delivers in order and in turn."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import oslo_messaging
import pytest

from tests.messages import arrived
from worker.journal.journal import Journal
from worker.recovery import proof_wait, queue_proof
from worker.recovery.proof_wait import ProofWait
from worker.recovery.queue_proof import CUT_AFTER, QueueProof, Unproven
from worker.rpc.clients.sender import BusUnavailable
from worker.rpc.markers import MarkedMessages, consumed
from worker.rpc.server import MARKER, Cast

TARGET = oslo_messaging.Target(topic="cinder-volume.h@b", server="h")
QUEUE = "cinder-volume.h@b.h"
SLOTS = ("h@b/0", "h@b/1")


class Listener:
    """A consumer of the queue, whose channel delivers in order."""

    def __init__(self, journal: Journal) -> None:
        self.accepted: list[str] = []
        self.arrivals = MarkedMessages(journal.consumers.note)
        self.held: collections.deque[Cast] = collections.deque()
        self.busy = False
        self.refuses = False
        self._generation = 1

    def reconnect(self) -> None:
        """Lose the messages that were delivered and not accepted."""
        self.held.clear()
        self._generation += 1

    def deliver(self, message: dict[str, Any]) -> None:
        generation = self._generation
        lost = lambda: generation != self._generation  # noqa: E731
        self.held.append(arrived(message, is_lost=lost, generation=generation))

    def work(self) -> None:
        while self.held and not self.busy:
            cast = self.held.popleft()
            message, _context = cast.read()
            if not self.arrivals.take_over(cast, message):
                self._accept(self.arrivals.observed(cast))

    def _accept(self, cast: Cast) -> None:
        if not self.refuses:
            self.accepted.append(cast.read()[0]["method"])
            cast.acknowledge()


class Bus:
    """One queue and its consumers."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.listeners: list[Listener] = []
        self.ready: collections.deque[dict[str, Any]] = collections.deque()
        self.foreign = 0
        self.away = False
        self.sent = 0
        self.on_send = lambda: None

    def start(self, slot: str) -> Listener:
        made = Listener(self.journal)
        names = [(queue, made.arrivals.name) for queue in consumed(TARGET)]
        self.journal.consumers.register(slot, names)
        self.listeners.append(made)
        return made

    def cast(self, name: str) -> None:
        self.ready.append({"method": name})

    def send(self, _target: Any, queue: str, marker: str) -> None:
        if self.away:
            raise BusUnavailable("away")
        self.sent += 1
        self.ready.append({"method": MARKER, "args": {"queue": queue, "marker": marker}})
        self.on_send()
        self.turn()

    def turn(self) -> None:
        """Deliver each message to the next consumer that may hold one more."""
        while self.ready:
            able = [one for one in self.listeners if len(one.held) < 2]
            if not able:
                break
            able[0].deliver(self.ready.popleft())
            self.listeners.append(self.listeners.pop(self.listeners.index(able[0])))
            for one in self.listeners:
                one.work()

    def depths(self, queues: Collection[str]) -> dict[str, tuple[int, int]]:
        if self.away:
            raise OSError("away")
        return {queue: (len(self.ready), len(self.listeners) + self.foreign) for queue in queues}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_proof, "TAKEN_WITHIN", 0.3)
    monkeypatch.setattr(queue_proof, "_PAUSE", 0.01)
    monkeypatch.setattr(proof_wait, "PAUSE", 0.01)
    monkeypatch.setattr(proof_wait, "PAUSE_MAX", 0.01)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(f"sqlite:///{tmp_path / 'journal.sqlite'}")
    made.upgrade()
    yield made
    made.close()


@pytest.fixture
def bus(journal: Journal) -> Bus:
    return Bus(journal)


@pytest.fixture
def proof(bus: Bus) -> QueueProof:
    return QueueProof([TARGET], bus.journal.consumers, bus.send, bus.depths, threading.Event())


def test_each_consumer_takes_a_marker_behind_the_casts(bus: Bus, proof: QueueProof) -> None:
    listeners = [bus.start(slot) for slot in SLOTS]
    for number in range(7):
        bus.cast(f"c{number}")
    proven = proof.attempt()

    assert {name for _queue, name, _channel in proven} == {one.arrivals.name for one in listeners}
    assert sorted(listeners[0].accepted + listeners[1].accepted) == [f"c{n}" for n in range(7)]
    assert proof.attempt() == proven


def test_a_consumer_with_prefetched_casts_is_waited_for(bus: Bus, proof: QueueProof) -> None:
    bus.start(SLOTS[0])
    busy = bus.start(SLOTS[1])
    busy.busy = True
    for number in range(4):
        bus.cast(f"c{number}")
    with pytest.raises(Unproven, match="h@b/1"):
        proof.attempt()
    busy.busy = False
    bus.turn()
    for one in bus.listeners:
        one.work()

    proof.attempt()
    assert not bus.ready


def test_markers_do_not_pile_up_where_nobody_takes_them(bus: Bus, proof: QueueProof) -> None:
    bus.start(SLOTS[0]).busy = True
    for _ in range(5):
        with pytest.raises(Unproven, match="busy"):
            proof.attempt()

    assert bus.sent == 1


def test_another_service_on_the_queue_gets_no_marker(bus: Bus, proof: QueueProof) -> None:
    bus.start(SLOTS[0])
    bus.foreign = 1
    with pytest.raises(Unproven, match="2 consumers"):
        proof.attempt()

    assert bus.sent == 0


def test_another_service_that_comes_meanwhile(bus: Bus, proof: QueueProof) -> None:
    bus.start(SLOTS[0])

    def come() -> None:
        bus.foreign = 1

    bus.on_send = come
    with pytest.raises(Unproven, match="2 consumers"):
        proof.attempt()


def test_a_process_that_was_killed_is_waited_for(bus: Bus, proof: QueueProof) -> None:
    bus.start(SLOTS[0])
    bus.listeners.remove(bus.start(SLOTS[1]))
    with pytest.raises(Unproven):
        proof.attempt()
    bus.start(SLOTS[1])

    proof.attempt()


def test_a_killed_process_and_a_foreign_one_are_not_taken_for_two_of_ours(
    bus: Bus, proof: QueueProof
) -> None:
    bus.start(SLOTS[0])
    bus.listeners.remove(bus.start(SLOTS[1]))
    bus.foreign = 1
    with pytest.raises(Unproven, match="h@b/1"):
        proof.attempt()


def test_a_consumer_that_connected_anew_proves_nothing_together_with_before(
    bus: Bus, proof: QueueProof
) -> None:
    listener = bus.start(SLOTS[0])
    first = proof.attempt()
    listener.reconnect()

    assert proof.attempt() != first


def test_a_cast_that_was_not_accepted_is_not_passed_over(
    bus: Bus, proof: QueueProof, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_proof, "LOST_AFTER", 0.0)
    listener = bus.start(SLOTS[0])
    listener.refuses = True
    bus.cast("late")
    for _ in range(2):
        with pytest.raises(Unproven, match="busy"):
            proof.attempt()
    listener.refuses = False
    listener.reconnect()  # the broker delivers it again
    bus.cast("late")

    proof.attempt()
    assert listener.accepted == ["late"]


def test_without_a_broker_nothing_is_proven(bus: Bus, proof: QueueProof) -> None:
    bus.start(SLOTS[0])
    bus.away = True
    with pytest.raises(Unproven, match="does not answer"):
        proof.attempt()


def test_a_queue_of_another_service(bus: Bus, proof: QueueProof) -> None:
    proof.require_empty("cinder-scheduler", 0)
    bus.cast("retype")
    with pytest.raises(Unproven, match="1 messages wait"):
        proof.require_empty("cinder-scheduler", 0)


def test_a_consumer_that_hangs_may_hold_messages_until_the_broker_cuts_it(
    bus: Bus, proof: QueueProof, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two schedulers may share a row: a consumer that stays connected works."""
    now = 1000.0
    monkeypatch.setattr(queue_proof, "time", SimpleNamespace(monotonic=lambda: now))
    bus.foreign = 2
    proof.require_empty("cinder-scheduler", 2)
    for alive in (1, 0):
        for _ in range(2):
            now += CUT_AFTER / 2 - 1
            with pytest.raises(Unproven, match=f"has 2 consumers, of which {alive}"):
                proof.require_empty("cinder-scheduler", alive)
    now += 2 + CUT_AFTER / 2
    proof.require_empty("cinder-scheduler", 0)

    bus.foreign = 1
    with pytest.raises(Unproven):
        proof.require_empty("cinder-scheduler", 0)


class TestProofWait:
    @pytest.fixture
    def stopping(self) -> threading.Event:
        return threading.Event()

    @pytest.fixture
    def wait(self, proof: QueueProof, stopping: threading.Event) -> ProofWait:
        return ProofWait(proof, "h@b", stopping)

    def test_two_proofs_by_the_same_consumers(self, bus: Bus, wait: ProofWait) -> None:
        bus.start(SLOTS[0])

        assert wait.until_proven(0.01, lambda: 1)
        assert bus.sent == 2

    def test_a_child_that_is_replaced_in_between(self, bus: Bus, wait: ProofWait) -> None:
        bus.start(SLOTS[0])
        sent = threading.Event()

        def replace() -> None:
            if not sent.is_set():
                sent.set()
                bus.listeners.clear()
                bus.start(SLOTS[0])

        bus.on_send = replace
        assert wait.until_proven(0.01, lambda: 1)
        assert bus.sent > 2

    def test_one_line_of_what_is_left_and_why(
        self,
        bus: Bus,
        wait: ProofWait,
        stopping: threading.Event,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        bus.start(SLOTS[0])
        bus.foreign = 1
        attempts = iter(range(5))

        def check() -> None:
            if next(attempts) == 4:
                stopping.set()

        with caplog.at_level(logging.WARNING):
            assert not wait.until_proven(0.0, lambda: 7, check)

        [record] = caplog.records
        assert "7 resources of h@b stay" in record.getMessage()
        assert "another service may consume it" in record.getMessage()

    def test_a_stop_ends_it(self, wait: ProofWait, stopping: threading.Event) -> None:
        stopping.set()

        assert not wait.until_proven(60, lambda: 1)
