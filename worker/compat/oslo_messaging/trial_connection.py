# SPDX-License-Identifier: Apache-2.0
"""A connection of oslo.messaging's that is made once, to see whether the broker accepts it.

The library's own connections retry whatever the broker refuses, or declare other queues than
the options ask for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import oslo_messaging
from amqp import exceptions as amqp_errors
from oslo_config import cfg
from oslo_messaging._drivers import common, impl_rabbit

SCHEMES = ("rabbit", "kombu+amqp", "kombu+pyamqp")
"""Schemes of transport URLs that lead to RabbitMQ."""


class LoginRefused(Exception):
    """The broker refuses the name or the password."""


class DeclarationRefused(Exception):
    """The broker has an exchange or a queue with other properties than the options say."""


def check_options(conf: cfg.ConfigOpts, url: oslo_messaging.TransportURL) -> None:
    """Require that the library makes a connection with the options; none is opened.

    :raises Exception: it does not; mostly a RuntimeError that names two options.
    """
    impl_rabbit.RabbitDriver(conf, url)
    try:
        _Unconnected(_with_query(conf, url), url, common.PURPOSE_LISTEN)
    except _Complete as complete:
        complete.connection.declare_topic_consumer("exchange", "topic")


def attempt(
    conf: cfg.ConfigOpts,
    url: oslo_messaging.TransportURL,
    exchange: str,
    topics: Iterable[str],
) -> None:
    """Connect once, and declare the queues of topics as a service does.

    :raises LoginRefused: the name or the password is wrong.
    :raises DeclarationRefused: something is there with other properties.
    :raises Exception: the broker does not answer, or refuses something else.
    """
    try:
        connection = _Trial(_with_query(conf, url), url, common.PURPOSE_LISTEN, retry=1)
    except amqp_errors.AccessRefused as error:
        raise LoginRefused(str(error)) from error
    try:
        for topic in topics:
            connection.declare_topic_consumer(exchange, topic)
    except amqp_errors.PreconditionFailed as error:
        raise DeclarationRefused(str(error)) from error
    finally:
        connection.close()


class _Trial(impl_rabbit.Connection):  # type: ignore[misc]
    def declare_consumer(self, consumer: Any) -> None:
        consumer._declare_fallback_nondurable = _refuse
        consumer.declare(self)


class _Complete(Exception):
    def __init__(self, connection: _Unconnected) -> None:
        self.connection = connection


class _Unconnected(impl_rabbit.Connection):  # type: ignore[misc]
    def ensure_connection(self) -> NoReturn:
        raise _Complete(self)

    def declare_consumer(self, consumer: Any) -> None:
        """Declare nothing: the options of the queue were checked before."""


def _with_query(conf: cfg.ConfigOpts, url: oslo_messaging.TransportURL) -> Any:
    """Return the options, of which those in the URL come first."""
    return common.ConfigOptsProxy(conf, url, "oslo_messaging_rabbit")


def _refuse(error: Exception, *_: Any) -> NoReturn:
    raise error
