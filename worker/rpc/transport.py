# SPDX-License-Identifier: Apache-2.0
"""The connection to the bus, made from the configuration."""

from __future__ import annotations

import logging
from typing import Any

import oslo_messaging
from oslo_config import cfg

CONTROL_EXCHANGE = "openstack"
"""What an untouched cinder.conf uses (spec/service §2)."""

_REMOTE_MODULES = ["cinder.exception"]


class _Harmless(logging.Filter):
    """Drops the complaint that amqp makes at each orderly stop."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "during closing channel" not in record.getMessage()


def get(conf: cfg.ConfigOpts, *, slots: int) -> Any:
    """Return an RPC transport.

    The broker hands over no more messages ahead than there are slots.

    :param slots: how many operations this process runs at once.
    """
    logging.getLogger("amqp").addFilter(_Harmless())
    oslo_messaging.set_transport_defaults(control_exchange=CONTROL_EXCHANGE)
    bound_prefetch(conf, slots)
    return oslo_messaging.get_rpc_transport(conf, allowed_remote_exmods=_REMOTE_MODULES)


def bound_prefetch(conf: cfg.ConfigOpts, slots: int) -> int:
    """Keep the number of messages fetched ahead between 1 and the slots."""
    asked = conf.oslo_messaging_rabbit.rabbit_qos_prefetch_count
    bounded = min(asked, slots) if asked > 0 else slots
    conf.set_override("rabbit_qos_prefetch_count", max(1, bounded), group="oslo_messaging_rabbit")
    return max(1, bounded)


def durability_warning(conf: cfg.ConfigOpts) -> str | None:
    """Return what to tell an operator whose queues do not outlive the broker."""
    rabbit = conf.oslo_messaging_rabbit
    url = str(conf.transport_url or "")
    if not url.startswith("rabbit") or rabbit.amqp_durable_queues or rabbit.rabbit_quorum_queue:
        return None
    return (
        "THE QUEUES ARE NOT DURABLE: a restart of RabbitMQ loses every operation that waits in"
        " them. Set [oslo_messaging_rabbit] rabbit_quorum_queue = true, or amqp_durable_queues ="
        " true, in the configuration of ALL services on this bus (cinder-api, cinder-scheduler,"
        " cinder-volume, cinder-backup, holdfast), and the same everywhere, or the broker"
        " refuses them."
    )
