# SPDX-License-Identifier: Apache-2.0
"""Casts that arrived: accepted in order, deferred by the limits, left with the broker."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from flows.errors import ProcessStopping
from tests.messages import arrived
from worker.execution import cast_queue
from worker.execution.cast_queue import RETURNS_MAX, CastQueue
from worker.execution.fairness.backlog import WaitingCast
from worker.rpc.operation import Operation
from worker.rpc.server import Cast


class Parts:
    """A queue whose limits admit the operations on these volumes."""

    def __init__(self, *admitted: str) -> None:
        self.admitted = set(admitted)
        self.accepted: list[str] = []
        self.acknowledged: list[str] = []
        self.asked: list[bool] = []
        self.ahead: list[int] = []
        self.together: list[int] = []
        self.lost: set[str] = set()
        self.fails: Exception | None = None
        self.bad = ""
        self.decoded: list[str] = []
        self.given_back: list[str] = []
        self.stopping, self.wake = threading.Event(), threading.Event()
        self.queue = CastQueue(
            self._dispatch,
            self._admits,
            self._accept,
            self.wake,
            self.stopping,
        )

    def _admits(self, operation: Operation, others: bool, ahead: Sequence[Operation] = ()) -> bool:
        self.asked.append(others)
        self.ahead.append(len(ahead))
        return operation.resource[1] in self.admitted

    def put(
        self,
        name: str,
        volume: str = "v1",
        shared: tuple[str, ...] = (),
        returns: int = 0,
        of_cluster: bool = False,
    ) -> None:
        message = {"method": name, "volume": volume, "shared": shared}
        self.queue.put(
            arrived(message, returns=returns, shared=of_cluster, **self._callbacks(name))
        )

    def _callbacks(self, name: str) -> dict[str, Callable[[], Any]]:
        give_back = functools.partial(self.given_back.append, name)
        acknowledge = functools.partial(self.acknowledged.append, name)
        return {
            "acknowledge": acknowledge,
            "is_lost": lambda: name in self.lost,
            "give_back": give_back,
        }

    def _dispatch(self, cast: Cast) -> Operation | None:
        message, _context = cast.read()
        if message["method"] == "rejected":
            return None
        self.decoded.append(message["method"])
        volume, shared = message["volume"], tuple(message["shared"])
        factory: Any = None
        kind = "backend" if volume == "backend" else "volume"
        return Operation(factory, (kind, volume), {}, exclusive=(volume,), shared=shared)

    def _accept(self, casts: Sequence[WaitingCast]) -> None:
        if self.fails is not None:
            raise self.fails
        methods = [one.cast.read()[0]["method"] for one in casts]
        if self.bad in methods:
            raise ValueError(self.bad)
        self.together.append(len(casts))
        self.accepted.extend(methods)


def test_those_that_came_together_are_accepted_together_up_to_a_number() -> None:
    parts = Parts("v1", "v2")
    for number in range(cast_queue.TOGETHER + 1):
        parts.put(str(number))
    parts.queue.process()

    assert parts.together == [cast_queue.TOGETHER, 1]
    assert parts.ahead == [*range(cast_queue.TOGETHER), 0]
    assert parts.acknowledged == [str(number) for number in range(cast_queue.TOGETHER + 1)]


def test_an_error_with_one_cast_keeps_no_other_one_back() -> None:
    parts = Parts("v1", "v2")
    parts.bad = "b"
    for name in "abc":
        parts.put(name)
    parts.queue.process()

    assert parts.accepted == parts.acknowledged == ["a", "c"]
    assert parts.queue.is_empty


def test_those_of_a_cluster_are_accepted_one_by_one() -> None:
    """Whether this host may take the next one depends on the one before it."""
    parts = Parts("v1")
    for name in "abc":
        parts.put(name, of_cluster=True)
    parts.queue.process()

    assert parts.together == [1, 1, 1] and parts.ahead == [0, 0, 0]


def test_casts_are_accepted_and_acknowledged_in_order() -> None:
    parts = Parts("v1", "v2")
    parts.put("a")
    parts.put("b", "v2")
    assert not parts.queue.is_empty

    parts.queue.process()

    assert parts.accepted == parts.acknowledged == ["a", "b"]
    assert parts.queue.is_empty


def test_the_limits_know_whether_another_host_could_take_a_cast() -> None:
    parts = Parts("v1", "v2")
    parts.put("a", of_cluster=True)
    parts.put("b", "v2")
    parts.queue.process()

    assert parts.asked == [True, False]


def test_a_deferred_cast_is_passed_by_others_but_not_on_its_resource() -> None:
    parts = Parts("v2")
    parts.put("deferred")
    parts.put("passes", "v2")
    parts.put("after", "v2", shared=("v1",))

    parts.queue.process()
    assert parts.accepted == ["passes"]

    parts.admitted.add("v1")
    parts.queue.process()
    assert parts.accepted == ["passes", "deferred", "after"]


def test_a_cast_that_was_deferred_for_long_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cast_queue, "DEFERRED_MAX", 0.0)
    parts = Parts()
    parts.put("a")

    parts.queue.process()

    assert parts.accepted == ["a"]


def test_a_cast_that_went_back_to_its_queue_is_accepted_before_the_queue_drops_it() -> None:
    parts = Parts()
    parts.put("a", "v1", returns=RETURNS_MAX - 1)
    parts.put("b", "v2", returns=RETURNS_MAX)
    parts.put("c", "v1", returns=RETURNS_MAX)
    parts.queue.process()

    assert parts.accepted == parts.acknowledged == ["b"]  # in order on each resource
    assert not parts.queue.is_empty


def test_a_cast_whose_connection_broke_is_left_with_the_broker() -> None:
    parts = Parts()
    parts.put("deferred")
    parts.put("gone", "v2")
    parts.lost = {"gone"}
    parts.queue.process()

    parts.lost.add("deferred")
    parts.admitted.add("v1")
    parts.queue.process()

    assert parts.accepted == parts.acknowledged == []
    assert parts.queue.is_empty


def test_one_without_an_operation_is_acknowledged() -> None:
    parts = Parts()
    parts.put("rejected")
    parts.queue.process()

    assert (parts.accepted, parts.acknowledged) == ([], ["rejected"])


def test_an_error_leaves_one_cast_with_the_broker(caplog: pytest.LogCaptureFixture) -> None:
    parts = Parts("v1")
    parts.fails = OSError("disk")
    parts.put("a")
    parts.queue.process()

    parts.fails = None
    parts.put("b")
    parts.queue.process()

    assert parts.acknowledged == ["b"]
    assert "a message was not taken over and stays with the broker" in caplog.text


def test_a_stop_leaves_the_rest_with_the_broker() -> None:
    parts = Parts("v1")
    parts.fails = ProcessStopping("stop")
    parts.put("a")

    with pytest.raises(ProcessStopping):
        parts.queue.process()

    assert parts.acknowledged == []


class TestBacklog:
    """Casts of several projects that were not decoded yet."""

    A, B = "3f1c6a52-0d4b-4c6e-9a51-7e7a3b1c2d4e", "3f1c6a52-0d4b-4c6e-9a51-7e7a3b1c2d4f"

    @staticmethod
    def put(
        parts: Parts,
        project: str,
        name: str,
        volume: str,
        returns: int = 0,
        shared: bool = False,
    ) -> None:
        message = {"method": name, "volume": volume, "shared": ()}
        context, callbacks = {"project_id": project}, parts._callbacks(name)
        parts.queue.put(arrived(message, context, returns=returns, shared=shared, **callbacks))

    def test_a_project_does_not_wait_behind_all_casts_of_another_one(self) -> None:
        parts = Parts(self.A, self.B)
        for number in range(50):
            self.put(parts, "a", f"a{number}", self.A)
        self.put(parts, "b", "b", self.B)
        parts.queue.process()

        assert parts.accepted.index("b") == 1
        assert [one for one in parts.accepted if one != "b"] == [f"a{n}" for n in range(50)]
        assert parts.acknowledged == parts.accepted

    def test_a_cast_on_the_resource_of_an_earlier_one_does_not_pass_it(self) -> None:
        parts = Parts(self.A, self.B)
        for number, volume in enumerate([self.A, self.A, self.B, self.A]):
            self.put(parts, "a", f"a{number}", volume)
        self.put(parts, "admin", "force", self.B)
        parts.queue.process()

        assert parts.accepted.index("a2") < parts.accepted.index("force")
        assert sorted(parts.accepted) == ["a0", "a1", "a2", "a3", "force"]

    def test_casts_that_follow_one_keep_their_own_order(self) -> None:
        parts = Parts(self.A, self.B)
        for number in range(20):
            self.put(parts, "a", f"a{number}", self.B if number == 15 else self.A)
        for number in range(3):
            self.put(parts, f"admin{number}", f"b{number}", self.B)
        parts.queue.process()

        of_b = [one for one in parts.accepted if one == "a15" or one[0] == "b"]
        assert of_b == ["a15", "b0", "b1", "b2"] and parts.queue.is_empty

    def test_those_that_follow_do_not_fill_the_memory(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cast_queue, "DEFERRED_CASTS", 2)
        monkeypatch.setattr(cast_queue, "TAKEN", 8)
        parts = Parts(self.A, self.B)
        for number in range(50):
            self.put(parts, "a", f"a{number}", self.B if number == 49 else self.A)
        for number in range(20):
            self.put(parts, "b", f"b{number}", self.B)
        parts.queue.process()
        assert parts.decoded.count("b2") == 0 and parts.accepted == [f"a{n}" for n in range(6)]

        while parts.wake.is_set():
            parts.wake.clear()
            parts.queue.process()
        assert parts.accepted[49:] == ["a49", *(f"b{number}" for number in range(20))]

    def test_one_that_waits_for_another_project_does_not_keep_its_own_project(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cast_queue, "DEFERRED_CASTS", 4)
        parts = Parts(self.B)
        for number in range(8):
            self.put(parts, "a", f"a{number}", self.A)
        self.put(parts, "b", "follows", self.A)
        for number in range(8):
            self.put(parts, "b", f"b{number}", self.B)
        parts.queue.process()

        assert parts.accepted == [f"b{number}" for number in range(8)]
        assert [one for one in parts.decoded if one[0] == "a"] == ["a0", "a1", "a2"]

    def test_those_that_came_back_often_wait_for_an_earlier_one_that_is_decoded(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are taken before it, and keep their project no further one from being decoded."""
        monkeypatch.setattr(cast_queue, "DEFERRED_CASTS", 2)
        parts = Parts(self.A)
        self.put(parts, "a", "first", self.A)
        for number in range(4):
            self.put(parts, "a", f"a{number}", self.A, returns=RETURNS_MAX)
        parts.queue.process()

        assert parts.accepted == ["first", "a0", "a1", "a2", "a3"] and parts.queue.is_empty

    def test_an_operation_on_the_backend_keeps_its_place(self) -> None:
        parts = Parts(self.A, "backend")
        for number in range(3):
            self.put(parts, "a", f"a{number}", self.A)
        self.put(parts, "admin", "failover", "backend")
        self.put(parts, "a", "a3", self.A)
        self.put(parts, "b", "b", self.A)
        parts.queue.process()

        assert parts.accepted[:4] == ["a0", "a1", "a2", "failover"]
        assert parts.accepted.index("b") > 3

    def test_an_operation_on_the_backend_passes_projects_with_many_deferred_casts(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The backend may hang, so that nothing ends but by the failover."""
        monkeypatch.setattr(cast_queue, "DEFERRED_CASTS", 2)
        parts = Parts(self.B, "backend")
        for number in range(5):
            self.put(parts, "a", f"a{number}", self.A)
        self.put(parts, "admin", "failover", "backend")
        self.put(parts, "b", "after", self.B)
        parts.queue.process()

        assert parts.accepted == ["failover", "after"] and "a2" not in parts.decoded

    def test_a_cast_waits_for_one_of_another_project_that_is_deferred(self) -> None:
        parts = Parts(self.A)
        self.put(parts, "a", "a0", self.A)
        self.put(parts, "a", "a1", self.B)
        self.put(parts, "b", "b", self.B)
        parts.queue.process()
        assert parts.accepted == ["a0"]

        parts.admitted.add(self.B)
        parts.queue.process()
        assert parts.accepted == ["a0", "a1", "b"]

    def test_no_more_are_decoded_while_many_are_deferred(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cast_queue, "DEFERRED_CASTS", 2)
        parts = Parts()
        for number in range(5):
            self.put(parts, "a", f"a{number}", self.A)
        parts.queue.process()
        assert parts.decoded == ["a0", "a1"] and parts.queue.deferred == 2
        assert not parts.queue.has_memory(0) and not parts.queue.is_empty

        parts.admitted.add(self.A)
        parts.queue.process()
        assert parts.accepted == [f"a{number}" for number in range(5)]
        assert parts.queue.has_memory(0) and parts.queue.is_empty

    def test_those_that_came_back_often_are_taken_first_and_in_spite_of_the_limits(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cast_queue, "DEFERRED_CASTS", 1)
        parts = Parts()
        self.put(parts, "a", "deferred", self.A)
        self.put(parts, "a", "returned", self.B, returns=RETURNS_MAX)
        self.put(parts, "a", "left", self.B)
        parts.queue.process()

        assert parts.accepted == ["returned"] and parts.decoded == ["returned", "deferred"]

    def test_those_of_other_projects_and_queues_pass_while_many_are_deferred(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cast_queue, "DEFERRED_CASTS", 2)
        parts = Parts(self.B)
        for number in range(5):
            self.put(parts, "a", f"a{number}", self.A)
        self.put(parts, "b", "b", self.B)
        self.put(parts, "a", "shared", self.B, shared=True)
        parts.queue.process()

        assert sorted(parts.accepted) == ["b", "shared"]
        assert "a2" not in parts.decoded

    def test_those_that_waited_long_are_given_back_unless_they_came_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cast_queue, "DEFERRED_CASTS", 1)
        parts = Parts()
        for number in range(3):
            self.put(parts, "a", f"a{number}", self.A)
        parts.queue.process()
        assert parts.given_back == [] and parts.decoded == ["a0"]

        monkeypatch.setattr(cast_queue, "DEFERRED_MAX", 0.0)
        parts.queue.process()
        assert parts.given_back == ["a1"]

        parts.lost = {"a1", "a2"}
        parts.queue.process()
        assert parts.given_back == ["a1"] and parts.queue.has_memory(0)

    def test_patience_begins_when_a_cast_is_decoded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Otherwise all that wait for the journal would be accepted in spite of the limits."""
        parts, now = Parts(), time.monotonic()
        self.put(parts, "a", "a0", self.A)
        later = now + cast_queue.DEFERRED_MAX + 1
        monkeypatch.setattr(cast_queue.time, "monotonic", lambda: later)
        parts.queue.process()

        assert parts.accepted == [] and parts.queue.deferred == 1

    def test_a_long_backlog_is_taken_in_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cast_queue, "TAKEN", 2)
        parts = Parts(self.A)
        for number in range(3):
            self.put(parts, "a", f"a{number}", self.A)
        parts.wake.clear()
        parts.queue.process()
        assert parts.accepted == ["a0", "a1"] and parts.wake.is_set()

        parts.wake.clear()
        parts.queue.process()
        assert parts.accepted == ["a0", "a1", "a2"] and not parts.wake.is_set()

    def test_a_stop_decodes_nothing_any_more(self) -> None:
        parts = Parts(self.A)
        self.put(parts, "a", "a0", self.A)
        parts.stopping.set()
        parts.queue.process()

        assert parts.decoded == parts.acknowledged == []
