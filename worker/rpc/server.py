# SPDX-License-Identifier: Apache-2.0
"""An RPC server that accepts a cast before it acknowledges it.

oslo.messaging acknowledges a message as it arrives, so that a kill loses all
that waits inside the process. This server's listener hands every cast to an
:class:`MessageIntake` first and acknowledges when that returns; it takes no message
while the worker has no free slot, so that the rest stays with the broker.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import oslo_messaging
from oslo_messaging._drivers import amqp as rpc_amqp
from oslo_messaging._drivers import amqpdriver
from oslo_messaging._drivers import base as driver_base
from oslo_messaging._drivers import common as rpc_common
from oslo_messaging._drivers.impl_rabbit import RabbitMessage
from oslo_messaging.rpc.dispatcher import ExpectedException
from oslo_messaging.rpc.server import RPCServer
from oslo_utils import units

from flows.errors import ProcessStopping
from worker.rpc import failures

LOG = logging.getLogger(__name__)

POLL_MAX = 0.5
"""Longest sleep of an idle listener, in seconds; a stop waits no longer."""

SLOT_WAIT = 10.0
"""How long to wait for a free slot between two heartbeats, in seconds."""


MESSAGE_MAX = 4 * units.Mi
"""Bytes of a message that are read; an API's messages have some ten thousand."""


class MessageIntake(Protocol):
    """Receiver of messages from the bus."""

    def wait_for_slot(self, timeout: float) -> bool:
        """Wait for room for one more operation.

        :raises ProcessStopping: no message is taken any more.
        """

    def cast(self, message: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        """Take over a cast for good; returns when it may be acknowledged.

        :raises ProcessStopping: it was not taken over and must not be acknowledged.
        """

    def call(self, message: Mapping[str, Any], context: Mapping[str, Any]) -> Any:
        """Carry out a call and return its answer. :raises Exception: goes to the caller."""

    def malformed(self, body: Any, error: Exception) -> None:
        """Store an unreadable message, so that it can be acknowledged.

        :raises ProcessStopping: it was not stored and must not be acknowledged.
        """


class Server(RPCServer):  # type: ignore[misc]
    """One target's consumer.

    :param transport: an RPC transport of an AMQP driver.
    :param target: topic and server.
    :param intake: takes over each message.
    """

    def __init__(
        self, transport: Any, target: oslo_messaging.Target, intake: MessageIntake
    ) -> None:
        super().__init__(transport, target, dispatcher=_Calls(intake))
        self._intake = intake

    def _create_listener(self) -> driver_base.PollStyleListenerAdapter:
        driver = self.transport._driver
        connection = driver._get_connection(rpc_common.PURPOSE_LISTEN)
        listener = _Listener(driver, connection, self._intake)
        exchange = driver._get_exchange(self._target)
        topic = self._target.topic
        for name in (topic, f"{topic}.{self._target.server}"):
            connection.declare_topic_consumer(exchange_name=exchange, topic=name, callback=listener)
        connection.declare_fanout_consumer(topic, listener)
        for consumer in connection._consumers:
            consumer._callback = listener.guarded(consumer)
        return driver_base.PollStyleListenerAdapter(listener, 1, None)


class _Calls:
    """The dispatcher that oslo.messaging asks for; only calls come this way."""

    def __init__(self, intake: MessageIntake) -> None:
        self._intake = intake

    def dispatch(self, incoming: Any) -> Any:
        # The listener has taken the id out of the message.
        message = {**incoming.message, "_unique_id": incoming.unique_id}
        try:
            return self._intake.call(message, incoming.ctxt)
        except (Exception, ProcessStopping) as error:  # noqa: BLE001 - the caller gets it
            # The intake has logged it: "expected" keeps oslo.messaging from doing so again.
            try:
                raise failures.on_wire(error) from error
            except Exception:  # noqa: BLE001 - raised two lines above
                raise ExpectedException() from error


class _Listener(amqpdriver.RpcAMQPListener):  # type: ignore[misc]
    use_cache = False  # the journal's key is the only deduplication

    def __init__(self, driver: Any, connection: Any, intake: MessageIntake) -> None:
        super().__init__(driver, connection)
        self._intake = intake

    @property
    def _current_timeout(self) -> float:
        return self._timeout

    @_current_timeout.setter
    def _current_timeout(self, seconds: float) -> None:
        self._timeout = min(seconds, POLL_MAX)

    def guarded(self, consumer: Any) -> Any:
        """Return a callback for raw messages that loses none that cannot be read."""

        def callback(raw: Any) -> None:
            message = getattr(consumer.queue.channel, "message_to_python", lambda m: m)(raw)
            try:
                _check_size(message)
                parsed = RabbitMessage(message)
            except Exception as error:  # noqa: BLE001 - whatever a decoder raises
                self._reject(message, error)
                return
            self(parsed)

        return callback

    def _reject(self, message: Any, error: Exception) -> None:
        """Keep a message that cannot be read, and acknowledge it."""
        try:
            self._intake.malformed(getattr(message, "body", None), error)
        except ProcessStopping:
            LOG.debug("an unreadable message is left with the broker: %s", error)
        else:
            message.ack()

    def __call__(self, message: Any) -> None:
        # Called by the consumer thread; must not raise, or the message is lost.
        try:
            self._take(message)
        except ProcessStopping:
            LOG.debug("left with the broker: %s", message.get("_unique_id"))
        except Exception:
            LOG.exception("a message was not taken over and stays with the broker")

    def _take(self, message: Any) -> None:
        while not self._intake.wait_for_slot(SLOT_WAIT):
            self._keep_alive()
        if message.get("_msg_id"):
            super().__call__(message)
            return
        context = rpc_amqp.unpack_context(message)
        self._intake.cast(message, context.to_dict())
        try:
            message.acknowledge()
        except Exception as error:  # noqa: BLE001 - redelivered, and recognised by its id
            LOG.info("acknowledging a cast failed, it may come again: %s", error)

    def _keep_alive(self) -> None:
        """Send a heartbeat to the broker while no message is being read."""
        amqp = self.conn.connection.connection
        if hasattr(amqp, "send_heartbeat"):
            amqp.send_heartbeat()


def _check_size(message: Any) -> None:
    size = len(getattr(message, "body", None) or b"")
    if size > MESSAGE_MAX:
        raise ValueError(f"it has {size} bytes, more than {MESSAGE_MAX}")
