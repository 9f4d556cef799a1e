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
from typing import Any, Protocol, TypeVar

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

_UNCOUNTED = Deliveries(None)


@dataclass(frozen=True, eq=False)
class Cast:
    """A cast that is not acknowledged yet.

    :param acknowledge: called when the cast was taken over for good; never waits.
    :param is_lost: whether the connection has gone that brought it: the broker delivers it
        again, and it must not be taken over from here.
    :param generation: the number of its channel among those of its listener.
    :param returns: how often it was delivered and went back to its queue, as far as is known.
    :param note: notes that the message is being handled, in case that ends the process.
    :param shared: whether other hosts consume its queue as well.
    """

    message: Mapping[str, Any]
    context: Mapping[str, Any]
    acknowledge: Callable[[], None] = lambda: None
    is_lost: Callable[[], bool] = lambda: False
    generation: int = 0
    returns: int = 0
    note: DeliveryNote = NOT_COUNTED
    shared: bool = False


@dataclass(frozen=True, eq=False)
class Unreadable:
    """A message that cannot be read, and why; it is not acknowledged yet."""

    body: Any
    error: Exception
    acknowledge: Callable[[], None] = lambda: None
    is_lost: Callable[[], bool] = lambda: False


@dataclass(frozen=True, eq=False)
class Call:
    """A call whose caller waits for a reply.

    :param reply: sends the answer, or an error in its place; it may wait for the bus.
    :param timeout: seconds that the caller waits; None where the message does not say.
    :param arrived: when it arrived at the earliest, by the monotonic clock.
    :param size: bytes of its body.
    """

    message: Mapping[str, Any]
    context: Mapping[str, Any]
    reply: Callable[[Any, BaseException | None], None]
    timeout: float | None = None
    arrived: float = field(default_factory=time.monotonic)
    size: int = 0

    @property
    def has_timed_out(self) -> bool:
        """Whether its caller does not wait any more."""
        return self.timeout is not None and time.monotonic() - self.arrived >= self.timeout


@dataclass(frozen=True, eq=False)
class Undecoded:
    """A cast whose body was not decoded yet; it is not acknowledged either.

    :param decode: returns the cast, or why it cannot be read, with its acknowledgement.
    :param returns: how often it was delivered and went back to its queue, as far as is known.
    :param shared: whether other hosts consume its queue as well.
    :param give_back: leaves the messages that were fetched further ahead with the broker.
    """

    body: WaitingBody
    decode: Callable[[Callable[[], None]], Cast | Unreadable]
    acknowledge: Callable[[], None] = lambda: None
    is_lost: Callable[[], bool] = lambda: False
    returns: int = 0
    shared: bool = False
    give_back: Callable[[], None] = lambda: None

    def decoded(self) -> Cast | Unreadable:
        """Return the cast; a message that cannot be decoded raises nothing."""
        self.body.unpack()
        return self.decode(self.acknowledge)


Message = Cast | Undecoded | Unreadable
"""A message that the intake acknowledges, now or later."""

M = TypeVar("M", Cast, Undecoded, Unreadable)


class MessageIntake(Protocol):
    """Receiver of messages from the bus; no method waits for anything, or raises."""

    def cast(self, cast: Cast) -> None:
        """Take over a cast, now or later, and acknowledge it then."""

    def undecoded(self, cast: Undecoded) -> bool:
        """Take over a cast as :meth:`cast` does; return whether there is memory for further."""

    def call(self, call: Call) -> None:
        """Carry out a call on another thread, and reply to it."""

    def unreadable(self, message: Unreadable) -> None:
        """Store an unreadable message, now or later, and acknowledge it then."""


class MessageObserver(Protocol):
    """Observer of the messages of one listener; no method waits for anything, or raises."""

    def take_over(self, cast: Cast) -> bool:
        """Take over a cast that is sent to the observer; return whether it is such a one."""

    def observed(self, message: M) -> M:
        """Return a message whose acknowledgement the observer notices."""


class _NoObserver:
    def take_over(self, cast: Cast) -> bool:
        return False

    def observed(self, message: M) -> M:
        return message


_NO_OBSERVER = _NoObserver()


class Server(compat.RPCServer):
    """One target's consumer.

    :param transport: an RPC transport of an AMQP driver.
    :param target: topic and server.
    :param intake: takes over each message.
    :param deliveries: counts deliveries that end the process.
    :param observer: observes the messages that arrive.
    :param shared: whether other hosts consume the queue as well.
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
        prefetch: int | None = None,
        ahead: int = 0,
    ) -> None:
        listener = functools.partial(
            _Listener, intake, deliveries, observer, shared=shared, ahead=ahead
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
        ahead: int = 0,
    ) -> None:
        super().__init__(driver, connection, ahead)
        self._intake = intake
        self._deliveries = deliveries
        self._observer = observer
        self._shared = shared

    def received(self, message: Any, delivery: compat.Delivery) -> None:
        """Hand a message to the intake; an error leaves it with the broker."""
        try:
            body = WaitingBody(message)
            if body.holds(*_DECODED_AT_ONCE):
                self._hand_over(message, delivery)
            else:
                self._hand_over_undecoded(message, body, delivery)
        except Exception:
            LOG.exception("a message was not taken over and stays with the broker")

    def _hand_over_undecoded(
        self, message: Any, body: WaitingBody, delivery: compat.Delivery
    ) -> None:
        decode = functools.partial(self._decode_cast, message, delivery)
        settle = _settle(delivery)
        cast = Undecoded(body, decode, *settle, delivery.returns, self._shared, self.fetch_less)
        if not self._intake.undecoded(self._observer.observed(cast)):
            self.fetch_less()

    def _decode_cast(
        self, message: Any, delivery: compat.Delivery, acknowledge: Callable[[], None]
    ) -> Cast | Unreadable:
        """Decode a message that is no call; on another thread than the listener's."""
        try:
            parsed, note = self._read(message, delivery)
            if parsed.get("_msg_id"):
                raise ValueError("it is a call, which hides its key _msg_id by an escape")
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises
            return Unreadable(getattr(message, "body", None), error, acknowledge, _lost(delivery))
        return replace(self._cast(parsed, delivery, note), acknowledge=acknowledge)

    def _hand_over(self, message: Any, delivery: compat.Delivery) -> None:
        try:
            parsed, note = self._read(message, delivery)
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises
            body = getattr(message, "body", None)
            unreadable = Unreadable(body, error, *_settle(delivery))
            self._intake.unreadable(self._observer.observed(unreadable))
            return
        if not parsed.get("_msg_id"):
            self._hand_over_cast(message, parsed, delivery, note)
            return
        self.outstanding.discard(delivery)
        incoming = self.take_call(parsed)
        if incoming is not None:
            self._intake.call(self._call(incoming, _expiration(message), _size(message)))

    def _hand_over_cast(
        self,
        message: Any,
        parsed: compat.RabbitMessage,
        delivery: compat.Delivery,
        note: DeliveryNote,
    ) -> None:
        """Hand over a cast that was decoded because some text in it is that of another message."""
        cast = self._cast(parsed, delivery, note)
        if self._observer.take_over(cast):
            return
        if isinstance(message.body, str):
            self._hand_over_undecoded(message, WaitingBody(message), delivery)
        else:
            self._intake.cast(self._observer.observed(cast))

    def _read(
        self, message: Any, delivery: compat.Delivery
    ) -> tuple[compat.RabbitMessage, DeliveryNote]:
        """Decode a message. :raises Exception: whatever a decoder raises, for a bad message."""
        note = self._deliveries.note(getattr(message, "body", None), delivery.redelivered)
        with note.decoding():
            return _decoded(message), note

    def _cast(
        self, parsed: compat.RabbitMessage, delivery: compat.Delivery, note: DeliveryNote
    ) -> Cast:
        which = (delivery.generation, delivery.returns)
        context = self.context_of(parsed)
        settle = _settle(delivery)
        return Cast(parsed, context, *settle, *which, note=note, shared=self._shared)

    def _call(self, incoming: Any, expiration: float | None, size: int) -> Call:
        # The listener has taken the id out of the message.
        message = {**incoming.message, "_unique_id": incoming.unique_id}
        reply = functools.partial(_reply, self.driver.conf, incoming)
        # A caller that monitors its call gives up without signs of life, which are not sent.
        limits = [one for one in (expiration, incoming.client_timeout) if one]
        timeout = min(limits, default=None)
        arrived = self.earliest_arrival()
        return Call(message, incoming.ctxt, reply, timeout, arrived, size)


def _settle(delivery: compat.Delivery) -> tuple[Callable[[], None], Callable[[], bool]]:
    return delivery.acknowledge, _lost(delivery)


def _lost(delivery: compat.Delivery) -> Callable[[], bool]:
    return lambda: delivery.lost


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
