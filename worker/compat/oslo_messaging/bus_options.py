# SPDX-License-Identifier: Apache-2.0
"""Options of oslo.messaging that it does not list."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from oslo_config import cfg
from oslo_messaging._drivers import amqp, impl_rabbit
from oslo_messaging.notify import notifier

BUS_OPTS: list[cfg.Opt] = [*impl_rabbit.rabbit_opts, *amqp.amqp_opts]

NOTIFIER_OPTS: list[cfg.Opt] = notifier._notifier_opts

UNLISTED = ("oslo_messaging_tracing", "oslo_messaging_metrics")
"""Sections whose options oslo.messaging registers only with oslo.config's global object."""


def unlisted_options() -> Iterator[tuple[str, list[cfg.Opt]]]:
    """Yield the sections of :data:`UNLISTED` that this release has, with their options."""
    for section in UNLISTED:
        part = section.removeprefix("oslo_messaging_")
        try:
            client = importlib.import_module(f"oslo_messaging._{part}.client")
            yield section, getattr(client, section)
        except (ImportError, AttributeError):
            continue
