# SPDX-License-Identifier: Apache-2.0
"""Connections of oslo.messaging: the first one, their reports, questions to the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from amqp import exceptions as amqp_errors
from oslo_messaging._drivers import amqpdriver, common, impl_rabbit

if TYPE_CHECKING:
    from worker.compat.oslo_messaging.listener import Binding

REFUSED = (amqp_errors.AccessRefused, amqp_errors.NotAllowed)
"""Errors of a first connection that the library raises: a wrong password, no such virtual host."""


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
            # Each use of a connection begins here, also of one that the broker has closed.
            if new_channel is not None and self.connection.connected:
                found()

    pool = getattr(transport._driver, "_connection_pool", None)
    if pool is not None and pool.connection_cls is impl_rabbit.Connection:
        pool.connection_cls = Observed


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
