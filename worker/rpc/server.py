# SPDX-License-Identifier: Apache-2.0
"""An RPC server that accepts a cast before it acknowledges it.

oslo.messaging acknowledges a message as it arrives, so that a kill loses all
that waits inside the process. This server's listener hands each message to a
:class:`MessageIntake`, which returns at once. A cast is acknowledged when the intake has
taken it over, however long that takes; the listener's thread reads messages and sends
heartbeats meanwhile. It decodes calls and markers; a cast is decoded when it has its turn.
"""

from __future__ import annotations

import functools
import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, Protocol

import oslo_messaging

from worker.compat import oslo_messaging as compat
from worker.compat.kombu import MESSAGE_MAX
from worker.conf.check import bus, config_files
from worker.outage_log import FailureLog
from worker.rpc import failures
from worker.rpc.received import message_limits
from worker.rpc.received.deliveries import NOT_COUNTED, Deliveries, DeliveryNote
from worker.rpc.received.waiting_body import WaitingBody

LOG = logging.getLogger(__name__)

POLL_MAX = 0.5
"""Longest sleep of an idle listener, in seconds; a stop waits no longer."""

PREFETCH_UNDER_LOAD = 4096
"""Messages that the broker delivers ahead under load: so many casts of one project do not keep the
casts of another one at the broker."""

MARKER = "holdfast_queue_marker"
"""The method of a marker (see :mod:`worker.rpc.markers`)."""

_DECODED_AT_ONCE = ("_msg_id", MARKER)
"""Texts of messages that do not wait for their turn: a call has the first one as a key."""

Decoded = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A message, and the context of its request."""

_UNCOUNTED = Deliveries(None)


@dataclass(frozen=True, eq=False)
class Cast:
    """A cast that is not acknowledged yet; its body is decoded when it has its turn.

    :param decode: returns the contents of the body, or raises whatever a decoder raises.
    :param acknowledge: called when the cast was taken over for good; never waits.
    :param is_lost: whether the connection has gone that brought it: the broker delivers it
        again, and it must not be taken over from here.
    :param generation: the number of its channel among those of its listener.
    :param returns: how often it was delivered and went back to its queue, as far as is known.
    :param note: notes that the message is being handled, in case that ends the process.
    :param shared: whether other hosts consume its queue as well.
    :param give_back: leaves the messages that were fetched further ahead with the broker.
    """

    body: WaitingBody
    decode: Callable[[], Decoded]
    acknowledge: Callable[[], None] = lambda: None
    is_lost: Callable[[], bool] = lambda: False
    generation: int = 0
    returns: int = 0
    note: DeliveryNote = NOT_COUNTED
    shared: bool = False
    give_back: Callable[[], None] = lambda: None

    def read(self) -> Decoded:
        """Decode the body. :raises Exception: whatever a decoder raises, for a bad message."""
        self.body.unpack()
        with self.note.decoding():
            return self.decode()


@dataclass(frozen=True, eq=False)
class Call:
    """A call whose caller waits for a reply.

    :param reply: sends the answer, or an error in its place; it may wait for the bus.
    :param timeout: seconds that the caller waits; None where the message does not say.
    :param arrived: when it arrived at the earliest, by the monotonic clock.
    :param size: bytes of its body.
    :param redelivered: whether it was delivered before, perhaps to a process that is gone.
    :param send_elsewhere: has another host reply, which gets the message with so many seconds left;
        returns whether there is one.
    :param others_serve: returns whether another host could.
    """

    message: Mapping[str, Any]
    context: Mapping[str, Any]
    reply: Callable[[Any, BaseException | None], None]
    timeout: float | None = None
    arrived: float = field(default_factory=time.monotonic)
    size: int = 0
    redelivered: bool = False
    send_elsewhere: Callable[[float | None], bool] = lambda _seconds: False
    others_serve: Callable[[], bool] = lambda: False

    @property
    def time_left(self) -> float | None:
        """Seconds that its caller still waits; None where the message does not say."""
        return None if self.timeout is None else self.arrived + self.timeout - time.monotonic()

    @property
    def has_timed_out(self) -> bool:
        """Whether its caller does not wait any more."""
        left = self.time_left
        return left is not None and left <= 0

    def hand_over(self) -> bool:
        """Leave the call to another host, which replies; return whether there is one."""
        left = self.time_left
        return (left is None or left > 0) and self.send_elsewhere(left)


class MessageIntake(Protocol):
    """Receiver of messages from the bus; no method waits for anything, or raises."""

    @property
    def stops(self) -> bool:
        """Whether the process stops, and begins no call any more."""

    def cast(self, cast: Cast) -> bool:
        """Take over a cast, now or later, and acknowledge it then.

        :returns: whether there is memory for further ones.
        """

    def call(self, call: Call) -> None:
        """Carry out a call on another thread, and reply to it."""


class MessageObserver(Protocol):
    """Observer of the messages of one listener; no method waits for anything, or raises."""

    def take_over(self, cast: Cast, message: Mapping[str, Any]) -> bool:
        """Take over a cast that is sent to the observer; return whether it is such a one."""

    def observed(self, cast: Cast) -> Cast:
        """Return a cast whose acknowledgement the observer notices."""


class _NoObserver:
    def take_over(self, cast: Cast, message: Mapping[str, Any]) -> bool:
        return False

    def observed(self, cast: Cast) -> Cast:
        return cast


_NO_OBSERVER = _NoObserver()


class Server(compat.RPCServer):
    """One target's consumer.

    :param transport: an RPC transport of an AMQP driver.
    :param target: topic and server.
    :param intake: takes over each message.
    :param deliveries: counts deliveries that end the process.
    :param observer: observes the messages that arrive.
    :param shared: whether other hosts consume the queue as well.
    :param others_serve: returns whether any of these is up.
    :param prefetch: how many messages of the queue the broker delivers ahead, where they are
        fewer than of the other queues.
    :param ahead: how many it delivers under load, where they are more.
    """

    def __init__(
        self,
        transport: Any,
        target: oslo_messaging.Target,
        intake: MessageIntake,
        deliveries: Deliveries = _UNCOUNTED,
        observer: MessageObserver = _NO_OBSERVER,
        *,
        shared: bool = False,
        others_serve: Callable[[], bool] = lambda: False,
        prefetch: int | None = None,
        ahead: int = 0,
    ) -> None:
        parts = (intake, deliveries, observer)
        listener = functools.partial(
            _Listener, *parts, shared=shared, others_serve=others_serve, ahead=ahead
        )
        super().__init__(transport, target, listener, prefetch)
        self.is_shared = shared
        """Whether other hosts consume the queue as well."""
        self._refusals = FailureLog(LOG)

    def refused(self, error: Exception) -> None:
        """Log once for each reason that the broker refuses the connection."""
        conf, reason = self.transport.conf, str(error)
        place = bus.problem(conf, config_files.of(conf), "DEFAULT", "transport_url", reason)
        line = "the message bus refuses this service, which waits for it: %s"
        self._refusals.failed(reason, line, place)


class _Listener(compat.Listener):
    poll_max = POLL_MAX

    def __init__(
        self,
        intake: MessageIntake,
        deliveries: Deliveries,
        observer: MessageObserver,
        driver: Any,
        connection: Any,
        *,
        shared: bool = False,
        others_serve: Callable[[], bool] = lambda: False,
        ahead: int = 0,
    ) -> None:
        super().__init__(driver, connection, ahead)
        self._others_serve = others_serve
        self._intake = intake
        self._deliveries = deliveries
        self._observer = observer
        self._shared = shared

    def received(self, message: Any, delivery: compat.Delivery) -> None:
        """Hand a message to the intake; an error leaves it with the broker."""
        try:
            cast = self._cast(message, delivery)
            if cast.body.holds(*_DECODED_AT_ONCE):
                self._decode_at_once(message, delivery, cast)
            else:
                self._hand_over(cast)
        except Exception:
            LOG.exception("a message was not taken over and stays with the broker")

    def _cast(self, message: Any, delivery: compat.Delivery) -> Cast:
        note = self._deliveries.note(getattr(message, "body", None), delivery.redelivered)
        return Cast(
            WaitingBody(message),
            functools.partial(self._decode_cast, message),
            acknowledge=delivery.acknowledge,
            is_lost=lambda: delivery.lost,
            generation=delivery.generation,
            returns=delivery.returns,
            note=note,
            shared=self._shared,
            give_back=self.fetch_less,
        )

    def _hand_over(self, cast: Cast) -> None:
        if not self._intake.cast(self._observer.observed(cast)):
            self.fetch_less()

    def _decode_cast(self, message: Any) -> Decoded:
        """Decode a message that is no call; on another thread than the listener's."""
        parsed = _decoded(message)
        if parsed.get("_msg_id"):
            raise ValueError("it is a call, which hides its key _msg_id by an escape")
        return parsed, self.context_of(parsed)

    def _decode_at_once(self, message: Any, delivery: compat.Delivery, cast: Cast) -> None:
        """Take a call or a marker; hand over a cast that only has a text of one in it."""
        try:
            with cast.note.decoding():
                parsed = _decoded(message)
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises
            self._hand_over(replace(cast, decode=functools.partial(_raise, error)))
            return
        if parsed.get("_msg_id"):
            if self._shared and self._intake.stops:
                return  # it stays with the broker, for another host
            self.outstanding.discard(delivery)
            incoming = self.take_call(parsed)
            if incoming is not None:
                self._intake.call(self._call(incoming, message, delivery.redelivered))
        elif not self._observer.take_over(cast, parsed):
            self._hand_over(cast)

    def _call(self, incoming: Any, raw: Any, redelivered: bool) -> Call:
        # The listener has taken the id out of the message.
        message = {**incoming.message, "_unique_id": incoming.unique_id}
        reply = functools.partial(_reply, self.driver.conf, incoming)
        # A caller that monitors its call gives up without signs of life, which are not sent.
        limits = [one for one in (_expiration(raw), incoming.client_timeout) if one]
        timeout = min(limits, default=None)
        arrived = self.earliest_arrival()
        call = Call(message, incoming.ctxt, reply, timeout, arrived, _size(raw), redelivered)
        if not self._shared:
            return call
        send = functools.partial(self._send_elsewhere, raw)
        return replace(call, send_elsewhere=send, others_serve=self._others_serve)

    def _send_elsewhere(self, raw: Any, seconds: float | None) -> bool:
        """Send a call to its queue again, if another host consumes it; return whether it was."""
        if not self._others_serve():
            return False
        try:
            self.send_again(raw, seconds)
        except Exception as error:  # noqa: BLE001 - the caller gets an error instead
            LOG.warning("a call is not left to another host: %s: %s", type(error).__name__, error)
            return False
        return True


def _raise(error: Exception) -> NoReturn:
    raise error


def _reply(conf: Any, incoming: Any, answer: Any, error: BaseException | None) -> None:
    try:
        with compat.traced(conf, incoming):
            if error is None:
                incoming.reply(answer)
            else:
                incoming.reply(failure=_on_wire(error))
    except Exception as failed:  # noqa: BLE001 - the caller times out
        method = incoming.message.get("method")
        LOG.error("the answer of %s was not sent: %s: %s", method, type(failed).__name__, failed)


def _on_wire(error: BaseException) -> Any:
    """Return an error for a caller, with its traceback."""
    try:
        raise failures.on_wire(error) from error
    except BaseException:  # noqa: BLE001 - raised one line above
        return sys.exc_info()


def _decoded(message: Any) -> compat.RabbitMessage:
    """Decode a message. :raises Exception: whatever a decoder raises, for a bad message."""
    _check_size(message)
    message_limits.check_structure(message.body)
    parsed = compat.RabbitMessage(message)
    message_limits.check_values(parsed)
    return parsed


def _check_size(message: Any) -> None:
    size = _size(message)
    if size > MESSAGE_MAX:
        raise ValueError(f"it has {size} bytes, more than {MESSAGE_MAX}")


def _size(message: Any) -> int:
    """Return the length of a message's body."""
    return len(getattr(message, "body", None) or b"")


def _expiration(message: Any) -> float | None:
    """Return the expiry of a message in seconds, which is how long its caller waits."""
    expiration = (getattr(message, "properties", None) or {}).get("expiration")
    try:
        return None if expiration is None else int(expiration) / 1000
    except (TypeError, ValueError):
        return None
