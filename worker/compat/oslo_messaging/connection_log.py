# SPDX-License-Identifier: Apache-2.0
"""Loggers and log lines of the connections of oslo.messaging."""

from __future__ import annotations

LOGGERS = ("oslo_messaging._drivers.impl_rabbit", "oslo.messaging._drivers.impl_rabbit")
"""Loggers of connections."""

LOST = (
    "is unreachable",
    "the connection. Check login credentials",
    "Connection failed",
    "recoverable connection/channel error",
)
"""Parts of the log lines of a failed attempt that another one follows."""

GIVEN_UP = ("Unable to connect to AMQP server",)
"""Parts of the log line of the last attempt."""

CONSEQUENCES = (
    "Failed to publish message",
    "Failed to consume message",
    "Unexpected error during heartbeat",
)
"""Parts of log lines that follow from a lost connection."""

FOUND = ("Reconnected to AMQP server",)
"""Parts of the log line of an attempt that succeeded."""

BLOCKED = ("The broker has blocked the connection",)
"""Parts of the log line of a resource alarm of the broker."""

HARMLESS = "Heartbeat support requested"
"""A part of the log line about a transport inside one process."""
