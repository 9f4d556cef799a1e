# SPDX-License-Identifier: Apache-2.0
"""The private parts of oslo.messaging are as ``worker.compat`` uses them."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import kombu
import kombu.exceptions
import oslo_messaging
import pytest
from oslo_config import cfg
from oslo_messaging._drivers import amqpdriver, common, impl_rabbit

from worker.compat import oslo_messaging as compat

TARGET = oslo_messaging.Target(topic="volume", server="h1")
WAIT = 10.0


def configured() -> cfg.ConfigOpts:
    """Return a configuration with all options of a bus."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    for section, options in compat.unlisted_options():
        conf.register_opts(options, group=section)
    return conf


@pytest.fixture
def transport() -> Iterator[Any]:
    """A bus inside this process, through the RabbitMQ driver."""
    made = oslo_messaging.get_rpc_transport(configured(), url="kombu+memory://")
    yield made
    made.cleanup()


class Recording(compat.Listener):
    """A listener that notes raw messages and hands on."""

    def __init__(self, raw: list[Any], driver: Any, connection: Any) -> None:
        super().__init__(driver, connection)
        self.raw = raw

    def received(self, message: Any, delivery: compat.Delivery) -> None:
        assert not delivery.lost
        parsed = compat.RabbitMessage(message)
        self.raw.append((dict(parsed), self.context_of(dict(parsed))))
        incoming = self.take_call(parsed)
        assert incoming is not None
        with compat.traced(self.driver.conf, incoming):
            incoming.reply(incoming.message["args"])


def test_log_lines_of_connections_have_the_known_texts() -> None:
    source = " ".join(inspect.getsource(impl_rabbit).split())
    texts = (*compat.LOST, *compat.GIVEN_UP, *compat.CONSEQUENCES, *compat.FOUND, compat.HARMLESS)

    # A text may be broken over two literals in the source.
    joined = source.replace("' '", "").replace('" "', "")
    assert [text for text in texts if text not in joined] == []
    assert impl_rabbit.LOG.name in compat.LOGGERS


def test_options_are_those_of_the_bus_and_of_notifications() -> None:
    bus = {option.dest for option in compat.BUS_OPTS}
    notifications = {option.dest for option in compat.NOTIFIER_OPTS}

    assert {"rabbit_qos_prefetch_count", "rabbit_quorum_queue", "amqp_durable_queues"} <= bus
    assert {"driver", "topics", "retry", "transport_url"} <= notifications


def test_sections_that_no_entry_point_lists_have_options() -> None:
    found = dict(compat.unlisted_options())

    assert set(found) == set(compat.UNLISTED)
    assert all(isinstance(option, cfg.Opt) for options in found.values() for option in options)


def test_a_server_answers_through_its_own_listener(transport: Any) -> None:
    raw: list[Any] = []
    server = compat.RPCServer(transport, TARGET, lambda *made: Recording(raw, *made))
    server.start()
    try:
        client = oslo_messaging.get_rpc_client(transport, TARGET, timeout=WAIT)
        answer = client.call({"request_id": "req-1"}, "method", size=3)
    finally:
        server.stop()
        server.wait()

    assert answer == {"size": 3}
    [(message, context)] = raw
    assert message["method"] == "method"
    assert {"_msg_id", "_unique_id"} <= set(message)
    assert context["request_id"] == "req-1"


def test_an_idle_listener_polls_often() -> None:
    waits: list[float] = []

    def consume(timeout: float) -> None:
        waits.append(timeout)
        if len(waits) == 20:
            listener._shutdown.set()
        raise common.Timeout

    driver = SimpleNamespace(prefetch_size=1)
    connection = SimpleNamespace(consume=consume, stop_consuming=lambda: None)
    listener = compat.Listener(driver, connection)
    listener.poll()

    assert len(waits) == 20
    assert max(waits) == compat.Listener.poll_max


def test_a_listener_of_the_library_polls_more_rarely() -> None:
    assert compat.Listener.poll_max < amqpdriver.ACK_REQUEUE_EVERY_SECONDS_MAX


def test_a_listener_does_not_deduplicate() -> None:
    assert amqpdriver.RpcAMQPListener.use_cache is True
    assert compat.Listener.use_cache is False


def test_connecting_gives_up_after_the_attempts() -> None:
    closed = oslo_messaging.get_rpc_transport(configured(), url="rabbit://127.0.0.1:1/")

    with pytest.raises(kombu.exceptions.OperationalError):
        compat.connect(closed, 0)


def test_connections_report_that_they_work_and_that_they_wait(transport: Any) -> None:
    listening, found = threading.Event(), threading.Event()
    compat.observe_connections(transport, listening.set, found.set)
    compat.connect(transport, 1)
    assert found.is_set()

    server = compat.RPCServer(transport, TARGET, lambda *made: Recording([], *made))
    server.start()
    try:
        assert listening.wait(WAIT)
    finally:
        server.stop()
        server.wait()


def test_a_connection_that_the_broker_has_closed_does_not_report_that_it_works(
    transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = threading.Event()
    compat.observe_connections(transport, lambda: None, found.set)
    with transport._driver._get_connection(common.PURPOSE_SEND) as pooled:
        found.clear()
        monkeypatch.setattr(kombu.Connection, "connected", False)
        pooled.connection._set_current_channel(pooled.connection.channel)

    assert not found.is_set()


def test_connections_are_observed_once(transport: Any) -> None:
    compat.observe_connections(transport, lambda: None, lambda: None)
    first = transport._driver._connection_pool.connection_cls
    compat.observe_connections(transport, lambda: None, lambda: None)

    assert issubclass(first, impl_rabbit.Connection)
    assert transport._driver._connection_pool.connection_cls is first


@pytest.mark.parametrize(("configured", "limit"), [(256, 8), (4, 4), (0, 8)])
def test_a_listener_has_fewer_messages_ahead_where_it_wants(
    transport: Any, configured: int, limit: int
) -> None:
    with transport._driver._get_connection(common.PURPOSE_LISTEN) as pooled:
        connection, asked = pooled.connection, []
        connection.rabbit_qos_prefetch_count = configured
        connection._set_qos = lambda _channel: asked.append(connection.rabbit_qos_prefetch_count)
        compat.limit_prefetch(connection, 8)

        assert asked == [limit]  # and again for each new channel
        assert "rabbit_qos_prefetch_count" in inspect.getsource(impl_rabbit.Connection._set_qos)
        assert "_set_qos" in inspect.getsource(impl_rabbit.Connection)
