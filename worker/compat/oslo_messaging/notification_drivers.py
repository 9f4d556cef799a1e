# SPDX-License-Identifier: Apache-2.0
"""Notifications of oslo.messaging, sent once to each topic, with errors raised."""

from __future__ import annotations

from typing import Any

import kombu.exceptions
import oslo_messaging
from amqp import exceptions as amqp_errors
from oslo_messaging.notify import messaging

UNDELIVERED = (
    oslo_messaging.MessagingException,
    kombu.exceptions.OperationalError,
    amqp_errors.AMQPError,
    OSError,
)
"""Errors of :func:`send_notification` that say nothing against the message."""


def send_notification(
    sender: oslo_messaging.Notifier,
    context: dict[str, Any],
    message: dict[str, Any],
    retry: int,
    taken: set[str],
) -> None:
    """Give a message to each driver and topic of a notifier that is not in ``taken``; add it.

    The library's own method makes a new message with the time of sending at each call, and
    logs failures without raising them.
    """
    for extension in sender._driver_mgr.extensions:
        driver, name = extension.obj, extension.name
        if not isinstance(driver, messaging.MessagingDriver):
            if name not in taken:
                driver.notify(context, message, message["priority"], retry)
                taken.add(name)
            continue
        for topic in driver.topics:
            if (place := f"{name}/{topic}") not in taken:
                target = oslo_messaging.Target(topic=f"{topic}.{message['priority'].lower()}")
                driver.transport._send_notification(
                    target, dict(context), dict(message), version=driver.version, retry=retry
                )
                taken.add(place)
