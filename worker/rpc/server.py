# SPDX-License-Identifier: Apache-2.0
"""An RPC server that accepts a cast before it acknowledges it.

oslo.messaging acknowledges a message as it arrives, so that a kill loses all
that waits inside the process. This server's listener hands every cast to an
:class:`MessageIntake` first and acknowledges when that returns; it takes no message
while the worker has no capacity, so that the others stay with the broker.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import oslo_messaging
from oslo_messaging.rpc.dispatcher import ExpectedException
from oslo_utils import units

from flows.errors import ProcessStopping
from worker.compat import oslo_messaging as compat
from worker.rpc import failures

LOG = logging.getLogger(__name__)

POLL_MAX = 0.5
"""Longest sleep of an idle listener, in seconds; a stop waits no longer."""

CAPACITY_WAIT = 10.0
"""How long to wait for capacity between two heartbeats, in seconds."""


MESSAGE_MAX = 4 * units.Mi
"""Bytes of a message that are read; an API's messages have some ten thousand."""


class MessageIntake(Protocol):
    """Receiver of messages from the bus."""

    def wait_for_capacity(self, timeout: float) -> bool:
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


class Server(compat.RPCServer):
    """One target's consumer.

    :param transport: an RPC transport of an AMQP driver.
    :param target: topic and server.
    :param intake: takes over each message.
    """

    def __init__(
        self, transport: Any, target: oslo_messaging.Target, intake: MessageIntake
    ) -> None:
        listener = functools.partial(_Listener, intake)
        super().__init__(transport, target, _Calls(intake), listener)


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


class _Listener(compat.Listener):
    poll_max = POLL_MAX

    def __init__(self, intake: MessageIntake, driver: Any, connection: Any) -> None:
        super().__init__(driver, connection)
        self._intake = intake

    def guarded(self, consumer: Any) -> Callable[[Any], None]:
        """Return a callback for raw messages that loses none that cannot be read."""

        def callback(raw: Any) -> None:
            message = getattr(consumer.queue.channel, "message_to_python", lambda m: m)(raw)
            try:
                _check_size(message)
                parsed = compat.RabbitMessage(message)
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
        while not self._intake.wait_for_capacity(CAPACITY_WAIT):
            self.send_heartbeat()
        if message.get("_msg_id"):
            super().__call__(message)
            return
        self._intake.cast(message, self.context_of(message))
        try:
            message.acknowledge()
        except Exception as error:  # noqa: BLE001 - redelivered, and recognised by its id
            LOG.info("acknowledging a cast failed, it may come again: %s", error)


def _check_size(message: Any) -> None:
    size = len(getattr(message, "body", None) or b"")
    if size > MESSAGE_MAX:
        raise ValueError(f"it has {size} bytes, more than {MESSAGE_MAX}")
