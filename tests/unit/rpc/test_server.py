# SPDX-License-Identifier: Apache-2.0
"""Messages between the broker and the intake, and the connection that brings them."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading
import time
import types
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import oslo_messaging
import pytest
from oslo_messaging._drivers import common

from flows.errors import ProcessStopping
from worker.compat.oslo_messaging import listener
from worker.rpc import server
from worker.rpc.received.deliveries import Deliveries

STOPPING = ProcessStopping("create_volume was not begun: the process is stopping")
BODY = {"oslo.version": "2.0"}


class Intake:
    """Notes the messages that it gets."""

    def __init__(self) -> None:
        self.casts: list[server.Cast] = []
        self.calls: list[server.Call] = []
        self.has_memory = True
        self.stops = False
        self.call = self.calls.append

    def cast(self, cast: server.Cast) -> bool:
        self.casts.append(cast)
        return self.has_memory


class Raw:
    """A message of the AMQP library."""

    def __init__(self, tag: int, channel: Any, body: bytes = b"", **inner: Any) -> None:
        self.delivery_tag, self.channel = tag, channel
        inner = {"method": "create_volume", "_unique_id": "ab" * 16, **inner}
        self.body = body or json.dumps({**BODY, "oslo.message": json.dumps(inner)}).encode()
        self.properties: dict[str, Any] = {}
        self.headers: dict[str, Any] = {}
        self.delivery_info = {"exchange": "openstack", "routing_key": "volume.c1"}
        self.acks: list[int] = []

    @property
    def payload(self) -> Any:
        return json.loads(self.body)

    def ack(self) -> None:
        self.acks.append(threading.get_ident())


class Consumer:
    queue_name = "q"

    def __init__(self, cancelled: list[Any]) -> None:
        self.cancel = cancelled.append


class Connection:
    """A connection of oslo.messaging, as a listener sees it."""

    def __init__(self) -> None:
        self.prefetched: list[int] = []
        self.cancelled: list[Any] = []
        self.channel = self.make_channel()
        self.collected = 0
        self.connected = True
        self._consumers = {Consumer(self.cancelled): 1}
        self._new_tags: set[int] = set()
        self.connection = types.SimpleNamespace(
            channel=self.channel,
            _consumers=self._consumers,
            _new_tags=self._new_tags,
            _active_tags={"q": 1},
            _tags=itertools.count(2),
            connection=self,
        )
        self.listener: Any = None
        self.passes: list[Callable[[], None]] = []

    def make_channel(self) -> Any:
        qos = lambda _size, count, _all: self.prefetched.append(count)  # noqa: E731
        return types.SimpleNamespace(callbacks={"1": None}, basic_qos=qos)

    def collect(self) -> None:
        self.collected += 1

    def consume(self, timeout: float) -> None:
        if not self.passes:
            self.listener._shutdown.set()
            raise common.Timeout
        self.passes.pop(0)()

    def stop_consuming(self) -> None: ...


class Arrivals:
    """Takes casts of one method, and notes those that it follows."""

    def __init__(self) -> None:
        self.taken: list[server.Cast] = []
        self.seen: list[Any] = []

    def take_over(self, cast: server.Cast, message: Mapping[str, Any]) -> bool:
        if is_mine := message.get("method") == "mine":
            self.taken.append(cast)
        return is_mine

    def observed(self, cast: server.Cast) -> server.Cast:
        self.seen.append(replace(cast))
        return self.seen[-1]


class Bench:
    """A listener between a connection and an intake; ``run`` is its thread's loop."""

    def __init__(self, ahead: int = 0, **sharing: Any) -> None:
        self.intake, self.conn = Intake(), Connection()
        self.sent: list[tuple[Any, ...]] = []
        sending = types.SimpleNamespace(topic_send=self._topic_send)
        driver = types.SimpleNamespace(
            prefetch_size=1,
            conf=None,
            _get_connection=lambda _purpose: contextlib.nullcontext(sending),
        )
        self.arrivals = Arrivals()
        parts = (self.intake, Deliveries(None), self.arrivals)
        self.listener = server._Listener(*parts, driver, self.conn, ahead=ahead, **sharing)
        self.conn.listener = self.listener
        queue = types.SimpleNamespace(channel=types.SimpleNamespace())
        self.deliver = self.listener.guarded(types.SimpleNamespace(queue=queue))

    def _topic_send(self, *message: Any, timeout: float | None, retry: int) -> None:
        assert retry == 0
        self.sent.append((*message, timeout))

    def run(self, *passes: Callable[[], None]) -> None:
        self.listener._shutdown.clear()
        self.conn.passes = list(passes)
        self.listener.poll()

    def message(self, tag: int, **inner: Any) -> Raw:
        return Raw(tag, self.conn.channel, **inner)


@pytest.fixture
def bench() -> Bench:
    return Bench()


class TestCasts:
    def test_one_is_acknowledged_by_the_thread_of_the_connection(self, bench: Bench) -> None:
        raw = bench.message(1)
        bench.run(lambda: bench.deliver(raw))
        (cast,) = bench.intake.casts
        assert raw.acks == [] and cast.read()[0]["method"] == "create_volume"
        other = threading.Thread(target=cast.acknowledge)
        other.start()
        other.join()
        assert raw.acks == []
        bench.run()

        assert raw.acks == [threading.get_ident()]

    def test_one_of_a_lost_connection_is_not_acknowledged(self, bench: Bench) -> None:
        raw = bench.message(1)
        bench.run(lambda: bench.deliver(raw))
        bench.conn.channel = types.SimpleNamespace()
        (cast,) = bench.intake.casts
        cast.acknowledge()
        bench.run()

        assert cast.is_lost() and raw.acks == []

    def test_a_channel_that_begins_anew_loses_its_messages(self, bench: Bench) -> None:
        first, again = bench.message(1), bench.message(1)
        bench.run(lambda: bench.deliver(first), lambda: bench.deliver(again))
        for cast in bench.intake.casts:
            cast.acknowledge()
        bench.run()

        assert [cast.is_lost() for cast in bench.intake.casts] == [True, False]
        assert (first.acks, len(again.acks)) == ([], 1)
        assert bench.conn.collected == 1  # the channel has no prefetch limit any more

    @pytest.mark.parametrize(("header", "returns"), [(None, 0), (2, 2), ("x", 0)])
    def test_one_knows_how_often_it_went_back_to_its_queue(
        self, bench: Bench, header: Any, returns: int
    ) -> None:
        raw = bench.message(1)
        raw.headers["x-delivery-count"] = header
        bench.run(lambda: bench.deliver(raw))

        assert [cast.returns for cast in bench.intake.casts] == [returns]

    def test_an_error_of_the_intake_leaves_the_message(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_cast: server.Cast) -> bool:
            raise RuntimeError("a bug")

        monkeypatch.setattr(bench.intake, "cast", fail)
        raw = bench.message(1)
        bench.run(lambda: bench.deliver(raw))

        assert raw.acks == []

    def test_those_for_the_observer_of_arrivals_do_not_reach_the_intake(self, bench: Bench) -> None:
        bench.run(lambda: bench.deliver(bench.message(1, method="mine")))

        assert (len(bench.arrivals.taken), bench.intake.casts) == (1, [])

    def test_the_observer_follows_each_other_message(self, bench: Bench) -> None:
        bench.run(lambda: bench.deliver(bench.message(1)))
        bench.run(lambda: bench.deliver(bench.message(2, body=b"no JSON")))

        assert len(bench.intake.casts) == 2 and bench.intake.casts == bench.arrivals.seen

    def test_an_unreadable_message_waits_for_its_place(self, bench: Bench) -> None:
        raw = bench.message(1, body=b"no JSON")
        bench.run(lambda: bench.deliver(raw))
        (bad,) = bench.intake.casts

        assert (bad.body.contents, raw.acks) == (b"no JSON", [])
        with pytest.raises(json.JSONDecodeError):
            bad.read()


class TestWaitingCasts:
    """A text is no cast's body before its turn; the body of other tests is bytes."""

    @staticmethod
    def message(bench: Bench, tag: int, **inner: Any) -> Raw:
        raw = bench.message(tag, **inner)
        raw.body = raw.body.decode()  # type: ignore[assignment]
        return raw

    def test_one_is_decoded_when_it_has_its_turn(self, bench: Bench) -> None:
        raw = self.message(bench, 1, args={"volume_id": "v1"}, _context_project_id="p1")
        raw.headers["x-delivery-count"] = 3
        bench.run(lambda: bench.deliver(raw))
        (cast,) = bench.intake.casts
        assert (cast.body.project(), cast.returns, cast.is_lost()) == ("p1", 3, False)
        cast.body.pack()

        message, context = cast.read()
        assert (message["args"], context["project_id"]) == ({"volume_id": "v1"}, "p1")
        cast.acknowledge()
        bench.run()
        assert len(raw.acks) == 1
        bench.conn.channel = types.SimpleNamespace()
        assert cast.is_lost()

    def test_it_is_not_decoded_before(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "_decoded", lambda _message: pytest.fail("it is decoded"))
        bench.run(lambda: bench.deliver(self.message(bench, 1)))

        assert len(bench.intake.casts) == 1

    @pytest.mark.parametrize("inner", [{"_msg_id": "m"}, {"method": server.MARKER}])
    def test_calls_and_markers_are_decoded_at_once(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, inner: dict[str, Any]
    ) -> None:
        taken: list[Any] = []
        monkeypatch.setattr(bench.listener, "take_call", taken.append)
        monkeypatch.setattr(bench.arrivals, "take_over", lambda *one: taken.append(one) or True)
        bench.run(lambda: bench.deliver(self.message(bench, 1, **inner)))

        assert bench.intake.casts == [] and len(taken) == 1

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            pytest.param("no JSON", "Expecting value", id="no JSON"),
            pytest.param(
                json.dumps({**BODY, "oslo.message": r'{"method": "m", "\u005fmsg_id": "x"}'}),
                "hides its key",
                id="a call in disguise",
            ),
        ],
    )
    def test_one_that_is_no_cast_is_unreadable(self, bench: Bench, body: str, reason: str) -> None:
        raw = self.message(bench, 1)
        raw.body = body  # type: ignore[assignment]
        bench.run(lambda: bench.deliver(raw))
        (bad,) = bench.intake.casts

        with pytest.raises(ValueError, match=reason):
            bad.read()
        assert bad.body.contents == body

    @pytest.mark.parametrize("text", ["_msg_id", server.MARKER])
    def test_a_text_of_another_message_in_a_name_changes_nothing(
        self, bench: Bench, text: str
    ) -> None:
        raw = self.message(bench, 1, args={"name": text}, _context_project_id="p1")
        bench.run(lambda: bench.deliver(raw))

        (cast,) = bench.intake.casts
        assert cast.body.project() == "p1" and cast.read()[0]["args"] == {"name": text}


class TestFetchedAhead:
    """Channels of which the broker delivers two messages ahead, and six under load."""

    @pytest.fixture
    def ahead(self) -> Bench:
        bench = Bench(ahead=6)
        bench.conn.connection.rabbit_qos_prefetch_count = 2
        return bench

    @staticmethod
    def deliver(bench: Bench, *tags: int, redelivered: bool = False, body: str = "") -> None:
        for tag in tags:
            raw = TestWaitingCasts.message(bench, tag)
            raw.delivery_info = {"redelivered": redelivered}
            raw.body = body or raw.body  # type: ignore[assignment]
            bench.run(lambda raw=raw: bench.deliver(raw))
        bench.run(lambda: None)

    def test_more_where_so_many_wait(self, ahead: Bench) -> None:
        self.deliver(ahead, 1)
        assert ahead.conn.prefetched == []

        self.deliver(ahead, 2, 3)
        assert ahead.conn.prefetched == [6]
        assert ahead.conn.cancelled == [1] and ahead.conn.connection._new_tags == {2}
        assert ahead.conn.connection._active_tags == {"q": 2}
        assert list(ahead.conn._consumers.values()) == [2]
        assert ahead.conn.collected == 0

    def test_not_where_one_was_delivered_before(self, ahead: Bench) -> None:
        self.deliver(ahead, 1, 2, redelivered=True)

        assert ahead.conn.prefetched == []

    def test_not_where_they_are_large(self, ahead: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listener, "AHEAD_SIZE", 6 * 1000)
        self.deliver(ahead, 1, 2, body=random.Random(1).randbytes(1100).hex())
        assert ahead.conn.prefetched == []

        self.deliver(ahead, 3)
        assert ahead.conn.prefetched == [], "it is looked at once a second"

    def test_more_where_they_are_small_when_they_are_compressed(
        self, ahead: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listener, "AHEAD_SIZE", 6 * 1000)
        self.deliver(ahead, 1, 2, body=f"{'x' * 20_000}")

        assert ahead.conn.prefetched == [6]

    def test_less_after_too_many(self, ahead: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.deliver(ahead, 1, 2)
        ahead.intake.has_memory = False
        self.deliver(ahead, 3)
        assert ahead.conn.collected == 1
        ahead.intake.casts[0].give_back()
        ahead.conn.channel = ahead.conn.connection.channel = ahead.conn.make_channel()
        self.deliver(ahead, 1, 2)
        assert ahead.conn.prefetched == [6], "for some time"

        monkeypatch.setattr(ahead.listener, "_extends_at", 0.0)
        ahead.intake.has_memory = True
        self.deliver(ahead, 3)
        assert ahead.conn.prefetched == [6, 6]

    def test_a_channel_that_breaks_meanwhile_is_opened_anew(
        self, ahead: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_args: Any) -> None:
            raise ConnectionResetError("gone")

        ahead.conn.channel.basic_qos = fail
        self.deliver(ahead, 1, 2)

        assert ahead.conn.collected == 1 and ahead.conn.cancelled == []
        assert "its consumers could not be replaced: gone" in caplog.text

    def test_not_without_the_option(self, bench: Bench) -> None:
        bench.conn.connection.rabbit_qos_prefetch_count = 1
        bench.intake.has_memory = False
        self.deliver(bench, 1, 2)

        assert bench.conn.prefetched == [] and bench.conn.collected == 0


class TestCalls:
    @pytest.mark.parametrize(
        ("expiration", "monitored", "patience"),
        [("1500", None, 1.5), (None, 3, 3), ("9000", 3, 3), (None, None, None), ("x", None, None)],
    )
    def test_one_knows_how_long_its_caller_waits(
        self, bench: Bench, expiration: Any, monitored: Any, patience: Any
    ) -> None:
        raw = bench.message(1, _msg_id="m", _reply_q="r", _timeout=monitored)
        if expiration is not None:
            raw.properties["expiration"] = expiration
        bench.run(lambda: bench.deliver(raw))

        (call,) = bench.intake.calls
        assert call.timeout == patience and len(raw.acks) == 1
        assert call.message["_unique_id"] == "ab" * 16

    def test_one_that_waited_while_the_process_was_frozen_is_abandoned(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1000.0
        clock = types.SimpleNamespace(monotonic=lambda: now)
        monkeypatch.setattr(listener, "time", clock)
        monkeypatch.setattr(server, "time", clock)

        def deliver(tag: int, after: float = 0.0) -> None:
            nonlocal now
            now += after
            raw = bench.message(tag, _msg_id=f"m{tag}", _reply_q="r")
            raw.properties["expiration"] = "60000"
            bench.deliver(raw)

        def idle() -> None:
            raise common.Timeout

        bench.listener.passed = now
        bench.run(
            lambda: deliver(1, 2.0),
            lambda: deliver(2, 90.0),  # the first one after a freeze
            lambda: deliver(3),
            idle,  # all that came during the freeze is read
            lambda: deliver(4, 2.0),
        )

        assert all(call.size > 50 for call in bench.intake.calls)
        assert [call.arrived for call in bench.intake.calls] == [1002.0, 1002.0, 1002.0, 1094.0]
        assert [call.has_timed_out for call in bench.intake.calls[1:]] == [True, True, False]

    def test_one_is_abandoned_when_its_time_is_over(self) -> None:
        call = server.Call({}, {}, lambda *_: None, timeout=10.0)
        late = server.Call({}, {}, lambda *_: None, 10.0, arrived=time.monotonic() - 10)
        endless = server.Call({}, {}, lambda *_: None, arrived=0.0)

        assert [one.has_timed_out for one in (call, late, endless)] == [False, True, False]


class TestCallsOfACluster:
    @staticmethod
    def taken(bench: Bench, expiration: str | None = "60000") -> tuple[Raw, server.Call]:
        raw = bench.message(1, _msg_id="m", _reply_q="r")
        raw.properties["expiration"] = expiration
        bench.run(lambda: bench.deliver(raw))
        (call,) = bench.intake.calls
        return raw, call

    @pytest.mark.parametrize("expiration", ["60000", None])
    def test_one_is_sent_again_under_an_id_of_its_own(self, expiration: str | None) -> None:
        bench = Bench(shared=True, others_serve=lambda: True)
        raw, call = self.taken(bench, expiration)
        assert call.hand_over()

        [(*address, wire, left)] = bench.sent
        assert address == ["openstack", "volume.c1"]
        before, sent = (common.deserialize_msg(one) for one in (raw.payload, wire))
        assert before.pop("_unique_id") != sent.pop("_unique_id")
        assert before == sent
        assert left is None if expiration is None else 50 < left <= 60

    @pytest.mark.parametrize(("shared", "others"), [(True, False), (False, True)])
    def test_not_where_no_other_host_serves_its_queue(self, shared: bool, others: bool) -> None:
        bench = Bench(shared=shared, others_serve=lambda: others)
        _raw, call = self.taken(bench)

        assert not call.hand_over() and not bench.sent

    def test_not_after_its_caller_has_given_up(self) -> None:
        bench = Bench(shared=True, others_serve=lambda: True)
        _raw, call = self.taken(bench)

        assert not replace(call, timeout=0.0).hand_over() and not bench.sent

    def test_not_while_the_bus_is_away(self, caplog: pytest.LogCaptureFixture) -> None:
        bench = Bench(shared=True, others_serve=lambda: True)
        _raw, call = self.taken(bench)

        def fail(_purpose: str) -> Any:
            raise oslo_messaging.MessageDeliveryFailure("no route")

        bench.listener.driver._get_connection = fail
        assert not call.hand_over()
        assert "not left to another host: MessageDeliveryFailure: no route" in caplog.text

    @pytest.mark.parametrize(("shared", "stays"), [(True, True), (False, False)])
    def test_one_that_comes_during_a_stop_stays_with_the_broker(
        self, shared: bool, stays: bool
    ) -> None:
        bench = Bench(shared=shared)
        bench.intake.stops = True
        raw = bench.message(1, _msg_id="m", _reply_q="r")
        bench.run(lambda: bench.deliver(raw))

        assert (raw.acks == [], bench.intake.calls == []) == (stays, stays)


class TestConnection:
    def test_a_consumer_that_the_channel_lacks_is_declared_anew(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.listener.check_every = 0.0
        bench.run()
        assert bench.conn.collected == 0
        bench.conn.channel.callbacks.clear()
        bench.run()

        assert bench.conn.collected == 1
        assert "its channel does not consume q" in caplog.text

    def test_another_thread_may_ask_for_a_new_connection(self, bench: Bench) -> None:
        bench.listener.reconnect("the broker has no consumer of q")
        bench.run(lambda: None, lambda: None)

        assert bench.conn.collected == 1

    def test_one_that_is_paused_leaves_its_messages_with_the_broker(self, bench: Bench) -> None:
        raw = bench.message(1)
        bench.listener.poll_max = 0.001
        bench.run(lambda: bench.deliver(raw))
        (cast,) = bench.intake.casts
        bench.listener.pause()
        resuming = threading.Timer(0.1, bench.listener.resume)
        resuming.start()
        bench.run(lambda: None)
        cast.acknowledge()
        bench.run()

        assert bench.conn.collected == 1 and not bench.listener.is_paused
        assert cast.is_lost() and raw.acks == []

    def test_a_stop_during_a_pause(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_listener: Any) -> None:
            raise OSError("the connection is closed")

        monkeypatch.setattr(listener.amqpdriver.RpcAMQPListener, "cleanup", fail)
        with pytest.raises(OSError, match="is closed"):
            bench.listener.cleanup()
        bench.listener.pause()
        threading.Timer(0.1, bench.listener._shutdown.set).start()
        bench.run()

        bench.listener.cleanup()
        assert bench.conn.collected == 1

    def test_each_pass_is_noted(self, bench: Bench) -> None:
        before = bench.listener.passed = 0.0
        bench.run()

        assert bench.listener.passed > before


def test_a_caller_gets_an_error(bus, service) -> None:
    service.listen("volume", "h1")
    service.answer = STOPPING
    target = oslo_messaging.Target(topic="volume", server="h1")
    client = oslo_messaging.get_rpc_client(bus, target, timeout=10)

    with pytest.raises(oslo_messaging.RemoteError) as caught:
        client.call({}, "create_volume")

    assert caught.value.exc_type == "CinderException"
    assert caught.value.value == str(STOPPING)
    service.next()
