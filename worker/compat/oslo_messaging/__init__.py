# SPDX-License-Identifier: Apache-2.0
"""Private parts of oslo.messaging: its AMQP driver and its notifier, by subject."""

from __future__ import annotations

from worker.compat.oslo_messaging.bus_connections import (
    REFUSED,
    connect,
    consumer_counts,
    mark_heartbeats,
    observe_connections,
    queue_depths,
)
from worker.compat.oslo_messaging.bus_options import (
    BUS_OPTS,
    NOTIFIER_OPTS,
    UNLISTED,
    unlisted_options,
)
from worker.compat.oslo_messaging.connection_log import (
    BLOCKED,
    CONSEQUENCES,
    FOUND,
    GIVEN_UP,
    HARMLESS,
    LOGGERS,
    LOST,
)
from worker.compat.oslo_messaging.delivery import Delivery
from worker.compat.oslo_messaging.listener import Binding, Listener, RabbitMessage
from worker.compat.oslo_messaging.notification_drivers import UNDELIVERED, send_notification
from worker.compat.oslo_messaging.queue_names import QueueNames, number_queues_by_process
from worker.compat.oslo_messaging.rpc_server import RPCServer, limit_prefetch, traced
from worker.compat.oslo_messaging.trial_connection import (
    SCHEMES,
    DeclarationRefused,
    LoginRefused,
    attempt,
    check_options,
)

__all__ = [
    "BLOCKED",
    "BUS_OPTS",
    "Binding",
    "CONSEQUENCES",
    "DeclarationRefused",
    "Delivery",
    "FOUND",
    "GIVEN_UP",
    "HARMLESS",
    "LOGGERS",
    "LOST",
    "Listener",
    "LoginRefused",
    "NOTIFIER_OPTS",
    "QueueNames",
    "REFUSED",
    "RPCServer",
    "RabbitMessage",
    "SCHEMES",
    "UNDELIVERED",
    "UNLISTED",
    "attempt",
    "check_options",
    "connect",
    "consumer_counts",
    "limit_prefetch",
    "mark_heartbeats",
    "number_queues_by_process",
    "observe_connections",
    "queue_depths",
    "send_notification",
    "traced",
    "unlisted_options",
]
