# SPDX-License-Identifier: Apache-2.0
"""Private parts of oslo.messaging: listeners, connections and options of its AMQP driver."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import kombu.exceptions
import oslo_messaging
from amqp import exceptions as amqp_errors
from oslo_config import cfg
from oslo_messaging._drivers import amqp, amqpdriver, base, common, impl_rabbit
from oslo_messaging.notify import messaging, notifier
from oslo_messaging.rpc import server

LOG = logging.getLogger(__name__)

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

CONSEQUENCES = (
    "Failed to publish message",
    "Failed to consume message",
    "Unexpected error during heartbeat",
)
"""Parts of log lines that follow from a lost connection."""

FOUND = ("Reconnected to AMQP server",)
"""Parts of the log line of an attempt that succeeded."""

BLOCKED = ("The broker has blocked the connection",)
"""Parts of the log line of a resource alarm of the broker."""

HARMLESS = "Heartbeat support requested"
"""A part of the log line about a transport inside one process."""

REFUSED = (amqp_errors.AccessRefused, amqp_errors.NotAllowed)
"""Errors of a first connection that the library raises: a wrong password, no such virtual host."""

REFUSED_PAUSE = 5.0
"""Seconds until a connection that the broker refused is attempted again."""

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


class Binding(NamedTuple):
    """A queue that is consumed, and the way of its messages from an exchange."""

    queue: str
    exchange: str
    routing_key: str


class Delivery:
    """A message that the broker delivered and that is not acknowledged yet.

    :param raw: the message of the AMQP library.
    :param generation: of the channel that delivered it.
    """

    def __init__(self, listener: Listener, raw: Any, generation: int) -> None:
        self._listener = listener
        self._raw = raw
        self.generation = generation

    @property
    def returns(self) -> int:
        """How often the message went back to its queue; only a quorum queue counts that."""
        count = (getattr(self._raw, "headers", None) or {}).get("x-delivery-count")
        return count if isinstance(count, int) else 0

    @property
    def redelivered(self) -> bool:
        """Whether the broker says that it delivered the message before, to any consumer."""
        return bool((getattr(self._raw, "delivery_info", None) or {}).get("redelivered"))

    @property
    def lost(self) -> bool:
        """Whether its channel is closed: the broker delivers the message again."""
        return not self._listener.is_current(self._raw.channel, self.generation)

    def acknowledge(self) -> None:
        """Acknowledge the message soon, on the thread of the connection; never waits."""
        self._listener.run_soon(self._acknowledge)

    def _acknowledge(self) -> None:
        self._listener.outstanding.discard(self)
        if self.lost:  # the tag may be another message's by now
            LOG.info("a message is not acknowledged on a closed channel, it may come again")
            return
        try:
            self._raw.ack()
        except Exception as error:  # noqa: BLE001 - redelivered, and recognised by its id
            LOG.info("acknowledging a message failed, it may come again: %s", error)


class Listener(amqpdriver.RpcAMQPListener):  # type: ignore[misc]
    """The consumers of one connection, on one thread that waits for nothing else.

    The thread reads messages, sends heartbeats and makes the acknowledgements that other
    threads request. So the connection lives however long messages wait for theirs.
    """

    use_cache = False  # the journal's key is the only deduplication

    poll_max = 0.5
    """Longest sleep of an idle listener, in seconds; a stop waits no longer."""

    ack_max = 0.05
    """Longest sleep while messages wait for their acknowledgement, in seconds."""

    check_every = 1.0
    """Seconds between two comparisons of the consumers with those of the channel."""

    frozen_min = 5.0
    """Seconds between two passes through the loop after which the process counts as frozen."""

    def __init__(self, driver: Any, connection: Any) -> None:
        super().__init__(driver, connection)
        self.passed = time.monotonic()
        """When the thread last passed through its loop."""
        self._frozen_since: float | None = None
        self.outstanding: set[Delivery] = set()
        self._checked = self.passed
        self._channel: Any = None
        self._last_tag: Any = None
        self._generation = 0
        self._reconnect: str | None = None

    def received(self, message: Any, delivery: Delivery) -> None:
        """Handle a raw message, on the thread of the connection: must not wait, nor raise."""
        raise NotImplementedError

    def context_of(self, message: Any) -> dict[str, Any]:
        """Take the request context out of a message."""
        context: dict[str, Any] = amqp.unpack_context(message).to_dict()
        return context

    def take_call(self, message: Any) -> Any | None:
        """Acknowledge a call and return it with its means to reply; None if that failed."""
        super().__call__(message)
        return self.incoming.pop() if self.incoming else None

    def run_soon(self, work: Callable[[], None]) -> None:
        """Run work on the thread of the connection, within :attr:`ack_max` seconds or so."""
        self._message_operations_handler.do(work)

    def is_current(self, channel: Any, generation: int) -> bool:
        """Return whether messages of a channel can still be acknowledged."""
        try:
            return generation == self._generation and channel is self.conn.channel
        except Exception:  # noqa: BLE001 - the connection was closed at a stop
            return False

    def reconnect(self, reason: str) -> None:
        """Open the connection anew soon; callable from any thread."""
        self._reconnect = reason

    def earliest_arrival(self) -> float:
        """Return since when a message that is read now may have waited in the socket.

        That is the begin of a freeze of the process, until all that came meanwhile is read.
        """
        now = time.monotonic()
        if self._frozen_since is None and now - self.passed > self.frozen_min:
            self._frozen_since = self.passed
        return now if self._frozen_since is None else self._frozen_since

    def bindings(self) -> list[Binding]:
        """Return the queues that are consumed, and the exchanges that they are bound to."""
        return [
            Binding(str(one.queue_name), str(one.exchange_name), str(one.routing_key))
            for one in list(self.conn.connection._consumers)
        ]

    def missing(self) -> list[str]:
        """Return the queues whose consumers the channel does not have."""
        connection = self.conn.connection
        active = getattr(connection.channel, "callbacks", None)
        if active is None or connection._new_tags or not connection.connection.connected:
            return []  # a transport without them; not consumed yet; to be connected anew
        consumers = list(connection._consumers.items())
        return [str(one.queue_name) for one, tag in consumers if str(tag) not in active]

    def poll(self, timeout: float | None = None, *_: Any, **__: Any) -> list[Any]:
        """Consume until the listener stops."""
        pause = amqpdriver.ACK_REQUEUE_EVERY_SECONDS_MIN
        while not self._shutdown.is_set():
            self._message_operations_handler.process()
            self._keep_consuming()
            try:
                self.conn.consume(timeout=pause)
            except common.Timeout:
                self._frozen_since = None
                longest = self.ack_max if self.outstanding else self.poll_max
                pause = min(pause * 2, longest)
            else:
                pause = amqpdriver.ACK_REQUEUE_EVERY_SECONDS_MIN
        self._message_operations_handler.process()
        self._shutoff.set()
        return []

    def guarded(self, consumer: Any) -> Callable[[Any], None]:
        """Return the callback for raw messages of a consumer."""

        def callback(raw: Any) -> None:
            message = getattr(consumer.queue.channel, "message_to_python", lambda m: m)(raw)
            delivery = Delivery(self, message, self._generation_of(message))
            self.outstanding.add(delivery)
            self.received(message, delivery)

        return callback

    def _generation_of(self, message: Any) -> int:
        """Return the generation of a message's channel; tags of a new one begin at 1."""
        channel, tag = message.channel, message.delivery_tag
        if channel is not self._channel:
            self._next_generation(channel)
        elif isinstance(tag, int) and tag <= self._last_tag:
            # The library has opened it anew behind our back, without its prefetch limit.
            self._next_generation(channel)
            self.reconnect("the broker has closed its channel")
        self._last_tag = tag
        return self._generation

    def _next_generation(self, channel: Any) -> None:
        self._channel = channel
        self._generation += 1
        self.outstanding.clear()

    def _keep_consuming(self) -> None:
        """Note that the thread lives; reconnect where that was requested or consumers are gone."""
        self.earliest_arrival()
        now = self.passed = time.monotonic()
        if now - self._checked >= self.check_every:
            self._checked = now
            if missing := self.missing():
                self.reconnect(f"its channel does not consume {', '.join(missing)}")
        if self._reconnect is not None:
            reason, self._reconnect = self._reconnect, None
            LOG.warning("a listener connects to the message bus anew: %s", reason)
            self.conn.connection.connection.collect()


class RPCServer(server.RPCServer):  # type: ignore[misc]
    """An RPC server with a listener of its caller's.

    :param make_listener: is given the driver and a connection.
    """

    def __init__(
        self,
        transport: Any,
        target: oslo_messaging.Target,
        make_listener: Callable[[Any, Any], Listener],
    ) -> None:
        super().__init__(transport, target, dispatcher=None)
        self._make_listener = make_listener
        self._consumers: Listener | None = None

    @property
    def listening(self) -> Listener:
        """The listener of the server, which has been started."""
        assert self._consumers is not None, "the server has not been started"
        return self._consumers

    def refused(self, error: Exception) -> None:
        """Take note that the broker refuses the first connection; it is attempted again."""

    def _create_listener(self) -> base.PollStyleListenerAdapter:
        """Connect and consume, however long that takes, as the library does in an outage."""
        while True:
            connection = self._connect()
            try:
                return self._consume(connection)
            except REFUSED as error:
                connection.close()
                self.refused(error)
                time.sleep(REFUSED_PAUSE)

    def _connect(self) -> Any:
        while True:
            try:
                return self.transport._driver._get_connection(common.PURPOSE_LISTEN)
            except REFUSED as error:
                self.refused(error)
                time.sleep(REFUSED_PAUSE)

    def _consume(self, connection: Any) -> base.PollStyleListenerAdapter:
        driver = self.transport._driver
        listener = self._make_listener(driver, connection)
        exchange = driver._get_exchange(self._target)
        topic = self._target.topic
        for name in (topic, f"{topic}.{self._target.server}"):
            connection.declare_topic_consumer(exchange_name=exchange, topic=name, callback=listener)
        connection.declare_fanout_consumer(topic, listener)
        for consumer in connection._consumers:
            consumer._callback = listener.guarded(consumer)
        self._consumers = listener
        return base.PollStyleListenerAdapter(listener, 1, None)

    def _process_incoming(self, incoming: Any) -> None:
        """Do nothing: the listener hands no message on."""


def traced(conf: Any, incoming: Any) -> AbstractContextManager[None]:
    """Return oslo.messaging's span of a received call, where this release has them."""
    tracing = getattr(server, "tracing", None)
    return nullcontext() if tracing is None else tracing.trace_receive(conf, incoming)


def consumer_counts(transport: Any, bindings: Iterable[Binding]) -> dict[str, int]:
    """Return how many consumers the broker has for each queue, and bind each queue anew.

    The number is 0 where the queue is missing, or its exchange. An exchange that was deleted and
    made again has no bindings, and nothing shows that: senders get a confirm for each message that
    no queue takes. To bind a queue again is without effect where it is bound.

    :raises Exception: the broker does not answer.
    """
    counts: dict[str, int] = {}

    def ask(channel: Any) -> None:
        for queue, exchange, routing_key in bindings:
            _, counts[queue] = _depth(channel, queue)
            if counts[queue] and exchange:
                try:
                    channel.queue_bind(queue, exchange, routing_key)
                except impl_rabbit.amqp_ex.NotFound:
                    counts[queue] = 0

    _on_a_channel(transport, ask)
    return counts


def queue_depths(transport: Any, queues: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return of each queue how many messages are ready, and how many consumers it has.

    Both are 0 where a queue is missing. A bus inside the process has no such numbers.

    :raises Exception: the broker does not answer.
    """
    depths: dict[str, tuple[int, int]] = {}

    def ask(channel: Any) -> None:
        for queue in queues:
            depths[queue] = _depth(channel, queue)

    _on_a_channel(transport, ask)
    return depths


def _on_a_channel(transport: Any, ask: Callable[[Any], None]) -> None:
    """Ask the broker on a channel of its own, of a connection that sends."""
    driver = transport._driver
    with driver._get_connection(common.PURPOSE_SEND, retry=0) as pooled:
        connection = pooled.connection

        def once() -> None:
            if connection.connection.transport.driver_type != "amqp":
                return  # a bus inside this process
            channel = connection.connection.channel()
            try:
                ask(channel)
            finally:
                channel.close()

        with connection._connection_lock:
            connection.ensure(once, retry=1)


def _depth(channel: Any, queue: str) -> tuple[int, int]:
    try:
        found = channel.queue_declare(queue, passive=True)
    except impl_rabbit.amqp_ex.NotFound:
        return 0, 0  # the library has opened the channel anew
    return int(found.message_count), int(found.consumer_count)


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
