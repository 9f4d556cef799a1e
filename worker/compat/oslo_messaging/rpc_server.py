# SPDX-License-Identifier: Apache-2.0
"""RPC server of oslo.messaging with a listener of its caller's."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import oslo_messaging
from oslo_messaging import exceptions
from oslo_messaging._drivers import base, common
from oslo_messaging.rpc import server

from worker.compat.oslo_messaging.bus_connections import REFUSED
from worker.compat.oslo_messaging.listener import Listener
from worker.compat.oslo_messaging.trial_connection import DeclarationRefused

REFUSED_PAUSE = 5.0
"""Seconds until a connection that the broker refused is attempted again."""


class RPCServer(server.RPCServer):  # type: ignore[misc]
    """An RPC server with a listener of its caller's.

    :param make_listener: is given the driver and a connection.
    :param prefetch: how many messages the broker delivers ahead; None for as many as the
        transport's options say.
    """

    def __init__(
        self,
        transport: Any,
        target: oslo_messaging.Target,
        make_listener: Callable[[Any, Any], Listener],
        prefetch: int | None = None,
    ) -> None:
        super().__init__(transport, target, dispatcher=None)
        self._prefetch = prefetch
        self._make_listener = make_listener
        self._consumers: Listener | None = None

    @property
    def is_listening(self) -> bool:
        """Whether the server has been started."""
        return self._consumers is not None

    @property
    def listening(self) -> Listener:
        """The listener of the server, which has been started."""
        assert self._consumers is not None, "the server has not been started"
        return self._consumers

    def refused(self, error: Exception) -> None:
        """Take note that the broker refuses the first connection; it is attempted again."""

    def _create_listener(self) -> base.PollStyleListenerAdapter:
        """Connect and consume, however long that takes, as the library does in an outage.

        :raises DeclarationRefused: a queue is there with other properties.
        """
        while True:
            connection = self._connect()
            try:
                return self._consume(connection)
            except REFUSED as error:
                connection.close()
                self.refused(error)
                time.sleep(REFUSED_PAUSE)
            except exceptions.MessageDeliveryFailure as error:
                connection.close()
                if "PRECONDITION_FAILED" in str(error):
                    raise DeclarationRefused(str(error)) from error
                raise

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
        if self._prefetch is not None:
            limit_prefetch(connection.connection, self._prefetch)
        for name in (topic, f"{topic}.{self._target.server}"):
            connection.declare_topic_consumer(exchange_name=exchange, topic=name, callback=listener)
        connection.declare_fanout_consumer(topic, listener)
        for consumer in connection._consumers:
            consumer._callback = listener.guarded(consumer)
        self._consumers = listener
        return base.PollStyleListenerAdapter(listener, 1, None)

    def _process_incoming(self, incoming: Any) -> None:
        """Do nothing: the listener hands no message on."""


def limit_prefetch(connection: Any, most: int) -> None:
    """Limit the messages that the broker delivers ahead, also after a reconnection.

    :param connection: consumes nothing yet.
    """
    configured = connection.rabbit_qos_prefetch_count
    connection.rabbit_qos_prefetch_count = min(configured, most) if configured > 0 else most
    connection._set_qos(connection.channel)


def traced(conf: Any, incoming: Any) -> AbstractContextManager[None]:
    """Return oslo.messaging's span of a received call, where this release has them."""
    tracing = getattr(server, "tracing", None)
    return nullcontext() if tracing is None else tracing.trace_receive(conf, incoming)
