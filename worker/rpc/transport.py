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

from worker.compat import oslo_messaging as compat
from worker.compat.kombu import check_messages
from worker.conf.check import bus as check
from worker.rpc import bus_state

CONTROL_EXCHANGE = "openstack"
"""The default of cinder.conf (spec/service §2)."""

_RABBIT = "oslo_messaging_rabbit"

_REMOTE_MODULES = ["cinder.exception"]
"""Modules whose exceptions are raised here as they were raised there."""

_NOT_DURABLE = (
    "THE QUEUES ON THE BUS ARE NOT DURABLE: a restart of RabbitMQ deletes them, and every"
    " operation that waits in them is lost without a trace; its volume stays in creating,"
    " deleting and so on. Set [oslo_messaging_rabbit] rabbit_quorum_queue = true (or"
    " amqp_durable_queues = true) in the configuration of ALL services on this bus:"
    " cinder-api, cinder-scheduler, cinder-volume, cinder-backup and holdfast. Change them"
    " together and delete the old exchange {!r} and queues: RabbitMQ refuses a service whose"
    " setting differs from what exists (PRECONDITION_FAILED)."
)

_AUTO_DELETE = (
    "THE QUEUES ON THE BUS ARE DELETED WITH THEIR LAST CONSUMER: amqp_auto_delete is set, durable"
    " queues or not. Each restart of a service, and each lost connection, loses the operations that"
    " wait in its queue; their volumes stay in creating, deleting and so on. Set"
    " [oslo_messaging_rabbit] amqp_auto_delete = false in the configuration of ALL services on"
    " this bus, and delete the old exchange {!r} and queues."
)


_NOT_VERIFIED = (
    "THE BROKER IS NOT VERIFIED: [oslo_messaging_rabbit] ssl is set without ssl_ca_file, so any"
    " certificate is accepted, and a foreign server at that address would get the password. Set"
    " ssl_ca_file to the authority of the broker, or to the system's authorities."
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


def get(conf: cfg.ConfigOpts, *, prefetch: int, process: str | None = None) -> Any:
    """Return an RPC transport.

    :param prefetch: how many messages the broker delivers before the first one is acknowledged,
        at most.
    :param process: the name of this process, of which the host has one; None where there may be
        several.
    """
    register_opts(conf)
    quieten()
    check_messages()
    bound_prefetch(conf, prefetch)
    distinguish_queues(conf, process)
    transport = oslo_messaging.get_rpc_transport(conf, allowed_remote_exmods=_REMOTE_MODULES)
    bus_state.watch(transport)
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


def bound_prefetch(conf: cfg.ConfigOpts, most: int) -> int:
    """Keep the number of prefetched messages between 1 and a limit; return it.

    0, oslo.messaging's default, means no limit: one process would take the whole queue.
    """
    bounded = max(1, _asked_prefetch(conf, most))
    conf.set_override("rabbit_qos_prefetch_count", bounded, group=_RABBIT)
    return bounded


def fetched_ahead(conf: cfg.ConfigOpts, most: int) -> int:
    """Return how many messages may be prefetched under load: a limit, or the operator's number.

    0 for no more than usual, where queues are deleted with their last consumer: a consumer is
    cancelled before one with another number takes its place.
    """
    bounded = conf[_RABBIT].rabbit_qos_prefetch_count
    asked = _asked_prefetch(conf, most)
    conf.set_override("rabbit_qos_prefetch_count", bounded, group=_RABBIT)
    return 0 if check.deletes_queues(conf) else asked


def _asked_prefetch(conf: cfg.ConfigOpts, most: int) -> int:
    """Return the operator's number, at most a limit; our own number is removed."""
    conf.clear_override("rabbit_qos_prefetch_count", group=_RABBIT)
    configured = int(conf[_RABBIT].rabbit_qos_prefetch_count)
    return min(configured, most) if configured > 0 else most


def distinguish_queues(conf: cfg.ConfigOpts, process: str | None) -> None:
    """Give the reply and fanout queues of a process names that no other process uses.

    With ``use_queue_manager`` oslo.messaging numbers them, per host and program: the services of
    two backends would read each other's replies. So the name of the process becomes a part, and
    each process has its own numbers; a process without a name gets random ones.
    """
    options = conf[_RABBIT]
    if not options.use_queue_manager:
        return
    if process is None:
        conf.set_override("use_queue_manager", False, group=_RABBIT)
        return
    conf.clear_override("processname", group=_RABBIT)
    name = f"{options.processname}-{process}".replace("/", "-")
    conf.set_override("processname", name, group=_RABBIT)
    compat.number_queues_by_process(options.hostname, name)


def verification_warning(conf: cfg.ConfigOpts) -> str | None:
    """Return a warning for an operator whose broker may be anybody with a certificate."""
    register_opts(conf)
    return None if check.verifies(conf) else _NOT_VERIFIED


def durability_warning(conf: cfg.ConfigOpts) -> str | None:
    """Return a warning for an operator whose queues lose their messages."""
    register_opts(conf)
    texts = []
    if not check.is_durable(conf):
        texts.append(_NOT_DURABLE)
    if check.deletes_queues(conf):
        texts.append(_AUTO_DELETE)
    return " ".join(text.format(conf.control_exchange) for text in texts) or None
