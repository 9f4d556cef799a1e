# SPDX-License-Identifier: Apache-2.0
"""The connection to the bus, made from the configuration.

TLS, durable queues and quorum queues are oslo.messaging's own options; they are
passed through as they stand in ``[oslo_messaging_rabbit]``.
"""

from __future__ import annotations

import logging
from typing import Any

import oslo_messaging
from oslo_config import cfg
from oslo_utils import strutils

from worker.compat import oslo_messaging as compat
from worker.rpc import presence

CONTROL_EXCHANGE = "openstack"
"""The default of cinder.conf (spec/service §2)."""

_RABBIT = "oslo_messaging_rabbit"

_REMOTE_MODULES = ["cinder.exception"]
"""Modules whose exceptions are raised here as they were raised there."""

_DURABLE = ("rabbit_quorum_queue", "amqp_durable_queues")

_NOT_DURABLE = (
    "THE QUEUES ON THE BUS ARE NOT DURABLE: a restart of RabbitMQ deletes them, and every"
    " operation that waits in them is lost without a trace; its volume stays in creating,"
    " deleting and so on. Set [oslo_messaging_rabbit] rabbit_quorum_queue = true (or"
    " amqp_durable_queues = true) in the configuration of ALL services on this bus:"
    " cinder-api, cinder-scheduler, cinder-volume, cinder-backup and holdfast. Change them"
    " together and delete the old exchange {!r} and queues: RabbitMQ refuses a service whose"
    " setting differs from what exists (PRECONDITION_FAILED)."
)


class _Harmless(logging.Filter):
    """Drops warnings about intended settings."""

    _TEXTS = (
        "during closing channel",  # the answer to each orderly stop
        compat.HARMLESS,
    )

    def filter(self, record: logging.LogRecord) -> bool:
        return not any(text in str(record.msg) for text in self._TEXTS)


_HARMLESS = _Harmless()


def get(conf: cfg.ConfigOpts, *, concurrency: int) -> Any:
    """Return an RPC transport.

    The broker hands over no more messages ahead than this process may run at once.

    :param concurrency: how many operations this process runs at once.
    """
    register_opts(conf)
    quieten()
    bound_prefetch(conf, concurrency)
    transport = oslo_messaging.get_rpc_transport(conf, allowed_remote_exmods=_REMOTE_MODULES)
    presence.watch(transport)
    return transport


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the bus's options known to a configuration, a private one as well."""
    oslo_messaging.set_transport_defaults(control_exchange=CONTROL_EXCHANGE)
    conf.register_opts(compat.BUS_OPTS, group=_RABBIT)
    for section, options in compat.unlisted_options():
        conf.register_opts(options, group=section)


def quieten() -> None:
    """Keep two harmless warnings out of the log."""
    for name in ("amqp", *compat.LOGGERS):
        logging.getLogger(name).addFilter(_HARMLESS)  # a second time has no effect


def bound_prefetch(conf: cfg.ConfigOpts, concurrency: int) -> int:
    """Keep the number of messages fetched ahead between 1 and the concurrency; return it.

    0, oslo.messaging's default, means no limit: one process would take the whole queue.
    """
    conf.clear_override("rabbit_qos_prefetch_count", group=_RABBIT)
    configured = conf[_RABBIT].rabbit_qos_prefetch_count
    bounded = max(1, min(configured, concurrency) if configured > 0 else concurrency)
    conf.set_override("rabbit_qos_prefetch_count", bounded, group=_RABBIT)
    return bounded


def durability_warning(conf: cfg.ConfigOpts) -> str | None:
    """Return a warning for an operator whose queues do not outlive the broker."""
    register_opts(conf)
    url = oslo_messaging.TransportURL.parse(conf)
    if url.transport not in ("rabbit", "kombu+amqp", "kombu+pyamqp"):
        return None
    # Options may stand in the URL as well, where they come first.
    settings = {name: conf[_RABBIT][name] for name in _DURABLE} | url.query
    if any(strutils.bool_from_string(settings[name]) for name in _DURABLE):
        return None
    return _NOT_DURABLE.format(conf.control_exchange)
