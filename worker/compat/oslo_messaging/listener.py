# SPDX-License-Identifier: Apache-2.0
"""Listener of oslo.messaging whose thread waits for nothing but messages."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from oslo_messaging._drivers import amqp, amqpdriver, common, impl_rabbit
from oslo_utils import units

from worker.compat.oslo_messaging.delivery import Delivery, size_of

LOG = logging.getLogger(__name__)

AHEAD_SIZE = 64 * units.Mi
"""Bytes of messages that are fetched further ahead than usual, compressed, by those that wait."""

RabbitMessage = impl_rabbit.RabbitMessage
"""A message of the AMQP library, decoded."""


class Binding(NamedTuple):
    """A queue that is consumed, and the way of its messages from an exchange."""

    queue: str
    exchange: str
    routing_key: str


class Listener(amqpdriver.RpcAMQPListener):  # type: ignore[misc]
    """The consumers of one connection, on one thread that waits for nothing else.

    The thread reads messages, sends heartbeats and makes the acknowledgements that other
    threads request. So the connection lives however long messages wait for theirs.
    """

    use_cache = False  # the journal's key is the only deduplication

    poll_min = 0.008
    """Shortest sleep, in seconds: oslo.messaging's own, a millisecond, ends several times between
    two messages, and each end costs processor time."""

    poll_max = 0.5
    """Longest sleep of an idle listener, in seconds; a stop waits no longer."""

    ack_max = 0.05
    """Longest sleep while messages wait for their acknowledgement, in seconds."""

    check_every = 1.0
    """Seconds between two comparisons of the consumers with those of the channel."""

    frozen_min = 5.0
    """Seconds between two passes through the loop after which the process counts as frozen."""

    extend_pause = 600.0
    """Seconds in which no more messages are fetched ahead than usual, after too many were."""

    def __init__(self, driver: Any, connection: Any, ahead: int = 0) -> None:
        super().__init__(driver, connection)
        self._ahead = ahead
        """Messages that are fetched ahead under load; 0 for no more than usual."""
        self._extended = -1
        """The channel on which so many are."""
        self._extends_at = 0.0
        self.passed = time.monotonic()
        """When the thread last passed through its loop."""
        self._frozen_since: float | None = None
        self.outstanding: set[Delivery] = set()
        self._checked = self.passed
        self._channel: Any = None
        self._last_tag: Any = None
        self._generation = 0
        self._reconnect: str | None = None
        self._consuming = threading.Event()
        self._consuming.set()
        self._parted = False
        """Whether the connection was closed for a pause."""

    @property
    def is_paused(self) -> bool:
        """Whether it is to consume nothing for the time being."""
        return not self._consuming.is_set()

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

    def send_again(self, message: Any, seconds: float | None) -> None:
        """Send a message to its queue under an id of its own, as a caller that repeats its call.

        Callable from any thread.

        :param message: as it came from the AMQP library.
        :param seconds: after which the broker drops it; None for never.
        :raises Exception: it was not sent.
        """
        way, wire = message.delivery_info, message.payload
        body = common.deserialize_msg(wire) | {amqp.UNIQUE_ID: uuid.uuid4().hex}
        with self.driver._get_connection(common.PURPOSE_SEND) as connection:
            connection.topic_send(
                *(way["exchange"], way["routing_key"], common.serialize_msg(body)),
                timeout=seconds,
                retry=0,
            )

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

    def pause(self) -> None:
        """Consume nothing, and leave messages that are not acknowledged with the broker, soon.

        Callable from any thread, as :meth:`resume` is. The connection is closed meanwhile.
        """
        self._consuming.clear()

    def resume(self) -> None:
        """Consume again."""
        self._consuming.set()

    def cleanup(self) -> None:
        """Close the connection, which may be closed already."""
        try:
            super().cleanup()
        except Exception as error:  # noqa: BLE001 - whatever the AMQP library raises
            if not self._parted:
                raise
            LOG.debug("a connection that was closed for a pause: %s", error)

    def fetch_less(self) -> None:
        """Leave the messages that were fetched further ahead with the broker, for some time.

        Callable from any thread. The connection is opened anew, and each of its messages counts
        as returned.
        """
        if self._extended == self._generation and self._ahead:
            self._extends_at = time.monotonic() + self.extend_pause
            self.reconnect("too many messages wait, or too large ones")

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
        pause = self.poll_min
        while not self._shutdown.is_set():
            self._message_operations_handler.process()
            self._keep_consuming()
            if self._stay_paused():
                continue
            self._extend()
            try:
                self.conn.consume(timeout=pause)
            except common.Timeout:
                self._frozen_since = None
                longest = self.ack_max if self.outstanding else self.poll_max
                pause = min(pause * 2, longest)
            else:
                pause = self.poll_min
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

    def _stay_paused(self) -> bool:
        """Wait a moment without the connection where it is paused; return whether it is."""
        if not self.is_paused:
            self._parted = False
            return False
        if not self._parted:
            self._parted = True
            self._next_generation(None)
            self.conn.connection.connection.collect()
        self._consuming.wait(self.poll_max)
        return True

    def _extend(self) -> None:
        """Fetch further ahead on a channel whose usual number of messages waits.

        Not while one waits that was delivered before: a quorum queue drops a message that comes
        back too often, and the end of the process would return all of them once more.
        """
        waiting = len(self.outstanding)
        if not 0 < waiting < self._ahead or self._extended == self._generation:
            return
        if waiting < self.conn.connection.rabbit_qos_prefetch_count:
            return
        now = time.monotonic()
        if now < self._extends_at:
            return
        if any(one.redelivered or one.returns for one in self.outstanding):
            return
        if size_of(self.outstanding, self._ahead, AHEAD_SIZE) > AHEAD_SIZE:
            self._extends_at = now + self.check_every
            return
        self._extended = self._generation
        self._consume_anew(self._ahead)

    def _consume_anew(self, prefetch: int) -> None:
        """Replace the consumers by others, to which the broker delivers so many messages ahead.

        Messages that were delivered stay with the channel.
        """
        connection = self.conn.connection
        try:
            connection.channel.basic_qos(0, prefetch, False)
            for consumer, tag in list(connection._consumers.items()):
                consumer.cancel(tag)
        except Exception as error:  # noqa: BLE001 - whatever ends a channel
            self.reconnect(f"its consumers could not be replaced: {error}")
        else:
            for consumer in connection._consumers:
                self._renumber(connection, consumer)

    @staticmethod
    def _renumber(connection: Any, consumer: Any) -> None:
        """Have a consumer declared again, under another tag.

        A quorum queue of RabbitMQ 3.10 takes a consumer with the tag of one that was cancelled, and
        of which messages are not acknowledged, for that one; the channel ends with INTERNAL_ERROR.
        """
        tag = next(connection._tags)
        connection._consumers[consumer] = connection._active_tags[consumer.queue_name] = tag
        connection._new_tags.add(tag)

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
