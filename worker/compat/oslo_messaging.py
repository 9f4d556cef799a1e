# SPDX-License-Identifier: Apache-2.0
"""Private parts of oslo.messaging: listeners, connections and options of its AMQP driver."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import kombu.exceptions
import oslo_messaging
from amqp import exceptions as amqp_errors
from oslo_config import cfg
from oslo_messaging._drivers import amqp, amqpdriver, base, common, impl_rabbit
from oslo_messaging.notify import messaging, notifier
from oslo_messaging.rpc import server

LOGGERS = ("oslo_messaging._drivers.impl_rabbit", "oslo.messaging._drivers.impl_rabbit")
"""Loggers of connections."""

LOST = (
    "is unreachable",
    "the connection. Check login credentials",
    "Connection failed",
    "recoverable connection/channel error",
)
"""Parts of the log lines of a failed attempt that another one follows."""

GIVEN_UP = ("Unable to connect to AMQP server",)
"""Parts of the log line of the last attempt."""

CONSEQUENCES = ("Failed to publish message", "Failed to consume message")
"""Parts of log lines that follow from a lost connection."""

FOUND = ("Reconnected to AMQP server",)
"""Parts of the log line of an attempt that succeeded."""

BLOCKED = ("The broker has blocked the connection",)
"""Parts of the log line of a resource alarm of the broker."""

HARMLESS = "Heartbeat support requested"
"""A part of the log line about a transport inside one process."""

BUS_OPTS: list[cfg.Opt] = [*impl_rabbit.rabbit_opts, *amqp.amqp_opts]
NOTIFIER_OPTS: list[cfg.Opt] = notifier._notifier_opts

UNLISTED = ("oslo_messaging_tracing", "oslo_messaging_metrics")
"""Sections whose options oslo.messaging registers only with oslo.config's global object."""

RabbitMessage = impl_rabbit.RabbitMessage
"""A message of the AMQP library, decoded."""


def unlisted_options() -> Iterator[tuple[str, list[cfg.Opt]]]:
    """Yield the sections of :data:`UNLISTED` that this release has, with their options."""
    for section in UNLISTED:
        part = section.removeprefix("oslo_messaging_")
        try:
            client = importlib.import_module(f"oslo_messaging._{part}.client")
            yield section, getattr(client, section)
        except (ImportError, AttributeError):
            continue


class Listener(amqpdriver.RpcAMQPListener):  # type: ignore[misc]
    """A listener that polls often, and does not drop a message that it has seen before."""

    use_cache = False  # the journal's key is the only deduplication

    poll_max = 0.5
    """Longest sleep of an idle listener, in seconds; a stop waits no longer."""

    @property
    def _current_timeout(self) -> float:
        return self._timeout

    @_current_timeout.setter
    def _current_timeout(self, seconds: float) -> None:
        self._timeout = min(seconds, self.poll_max)

    def guarded(self, consumer: Any) -> Callable[[Any], None]:
        """Return the callback for raw messages of a consumer."""
        raise NotImplementedError

    def context_of(self, message: Any) -> dict[str, Any]:
        """Take the request context out of a message."""
        context: dict[str, Any] = amqp.unpack_context(message).to_dict()
        return context

    def send_heartbeat(self) -> None:
        """Show the broker that this process lives while it reads no message."""
        connection = self.conn.connection.connection
        if hasattr(connection, "send_heartbeat"):
            connection.send_heartbeat()


class RPCServer(server.RPCServer):  # type: ignore[misc]
    """An RPC server with a listener of its caller's.

    :param make_listener: is given the driver and a connection.
    """

    def __init__(
        self,
        transport: Any,
        target: oslo_messaging.Target,
        dispatcher: Any,
        make_listener: Callable[[Any, Any], Listener],
    ) -> None:
        super().__init__(transport, target, dispatcher=dispatcher)
        self._make_listener = make_listener

    def _create_listener(self) -> base.PollStyleListenerAdapter:
        driver = self.transport._driver
        connection = driver._get_connection(common.PURPOSE_LISTEN)
        listener = self._make_listener(driver, connection)
        exchange = driver._get_exchange(self._target)
        topic = self._target.topic
        for name in (topic, f"{topic}.{self._target.server}"):
            connection.declare_topic_consumer(exchange_name=exchange, topic=name, callback=listener)
        connection.declare_fanout_consumer(topic, listener)
        for consumer in connection._consumers:
            consumer._callback = listener.guarded(consumer)
        return base.PollStyleListenerAdapter(listener, 1, None)


def connect(transport: Any, retry: int) -> None:
    """Open a connection for sending, unless there is one, within a number of attempts.

    The connection for replies, which the first call opens, is attempted without a limit.
    """
    driver = transport._driver
    if isinstance(driver, amqpdriver.AMQPDriverBase):
        with driver._get_connection(common.PURPOSE_SEND, retry=retry):
            pass


def observe_connections(
    transport: Any, listening: Callable[[], None], found: Callable[[], None]
) -> None:
    """Have the connections of a RabbitMQ transport report; once for each transport.

    :param listening: called in a thread that waits for messages.
    :param found: called in a thread whose connection works.
    """

    class Observed(impl_rabbit.Connection):  # type: ignore[misc]
        def consume(self, timeout: float | None = None) -> None:
            listening()
            super().consume(timeout=timeout)

        def _set_current_channel(self, new_channel: Any) -> None:
            super()._set_current_channel(new_channel)
            if new_channel is not None:
                found()

    pool = getattr(transport._driver, "_connection_pool", None)
    if pool is not None and pool.connection_cls is impl_rabbit.Connection:
        pool.connection_cls = Observed


UNDELIVERED = (
    oslo_messaging.MessagingException,
    kombu.exceptions.OperationalError,
    amqp_errors.AMQPError,
    OSError,
)
"""Errors of :func:`send_notification` that say nothing against the message."""


def send_notification(
    sender: oslo_messaging.Notifier,
    context: dict[str, Any],
    message: dict[str, Any],
    retry: int,
    taken: set[str],
) -> None:
    """Give a message to each driver and topic of a notifier that is not in ``taken``; add it.

    The library's own method makes a new message with the time of sending at each call, and
    logs failures without raising them.
    """
    for extension in sender._driver_mgr.extensions:
        driver, name = extension.obj, extension.name
        if not isinstance(driver, messaging.MessagingDriver):
            if name not in taken:
                driver.notify(context, message, message["priority"], retry)
                taken.add(name)
            continue
        for topic in driver.topics:
            if (place := f"{name}/{topic}") not in taken:
                target = oslo_messaging.Target(topic=f"{topic}.{message['priority'].lower()}")
                driver.transport._send_notification(
                    target, dict(context), dict(message), version=driver.version, retry=retry
                )
                taken.add(place)


def mark_heartbeats(transport: Any, mark: Callable[[], None]) -> None:
    """Have the heartbeat thread of each connection of a RabbitMQ transport call a function.

    :param mark: called at the start of the thread.
    """

    class Marked(impl_rabbit.Connection):  # type: ignore[misc]
        def _heartbeat_thread_job(self) -> None:
            mark()
            super()._heartbeat_thread_job()

    pool = getattr(transport._driver, "_connection_pool", None)
    if pool is not None and pool.connection_cls is impl_rabbit.Connection:
        pool.connection_cls = Marked
