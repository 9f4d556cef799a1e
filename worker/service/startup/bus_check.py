# SPDX-License-Identifier: Apache-2.0
"""Connect to the message bus once before a service starts, to see whether it is accepted.

A broker that does not answer is waited for later. A wrong password, or queues with other
properties than the options say, would be refused again and again.
"""

from __future__ import annotations

import re
import threading

import oslo_messaging
from oslo_config import cfg

from worker.compat import oslo_messaging as compat
from worker.conf.check import bus, config_files
from worker.conf.check.problems import ConfigError
from worker.rpc import bus_state, transport

_ARGUMENT = re.compile(
    r"inequivalent arg '(?P<name>[\w-]+)' for (?P<which>\w+ '[^']*').*"
    r"received (?P<ours>.*?) but current is (?P<theirs>.*)"
)
_OPTIONS = {
    "durable": "amqp_durable_queues",
    "auto_delete": "amqp_auto_delete",
    "x-queue-type": "rabbit_quorum_queue",
    "x-delivery-limit": "rabbit_quorum_delivery_limit",
    "x-max-in-memory-length": "rabbit_quorum_max_memory_length",
    "x-max-in-memory-bytes": "rabbit_quorum_max_memory_bytes",
    "x-ha-policy": "rabbit_ha_queues",
}
"""Options of [oslo_messaging_rabbit], by the properties of queues and exchanges they decide."""

_DURABLE = "amqp_durable_queues"

_LONGEST = 15.0
"""Seconds that the check may take."""


def require_accepted(conf: cfg.ConfigOpts, topic: str) -> None:
    """Require that the broker, if it answers, accepts this service.

    :param topic: its shared queue is declared, as the service does later.
    :raises ConfigError: it refuses the password, or has queues with other properties.
    """
    transport.register_opts(conf)
    url = oslo_messaging.TransportURL.parse(conf)
    if url.transport not in compat.SCHEMES:
        return
    refusals: list[ConfigError] = []

    def attempt() -> None:
        bus_state.silence()
        try:
            compat.attempt(conf, url, conf.control_exchange, [topic])
        except compat.LoginRefused:
            refusals.append(_login(conf, url))
        except compat.DeclarationRefused as error:
            refusals.append(refused_declaration(conf, error))
        except Exception:  # noqa: BLE001 - the start waits for a bus that does not answer
            return

    # On a thread of its own, as its lines of the log are dropped.
    thread = threading.Thread(target=attempt, name="bus check", daemon=True)
    thread.start()
    thread.join(_LONGEST)
    if refusals:
        raise refusals[0]


def _login(conf: cfg.ConfigOpts, url: oslo_messaging.TransportURL) -> ConfigError:
    users = {host.username or "guest" for host in url.hosts} or {"guest"}
    text = (
        f"the broker refuses the name or the password of {', '.join(sorted(users))}: correct it "
        "here, or make the user there"
    )
    found = config_files.of(conf)
    return ConfigError(bus.problem(conf, found, "DEFAULT", "transport_url", text))


def refused_declaration(conf: cfg.ConfigOpts, error: Exception) -> ConfigError:
    """Return the error in the configuration that a broker found."""
    found = _ARGUMENT.search(str(error))
    if found is None:
        text = f"the broker refuses the queues of this service: {error}"
        return ConfigError(bus.problem(conf, config_files.of(conf), bus.RABBIT, _DURABLE, text))
    name = _OPTIONS.get(found["name"], _DURABLE)
    if name == _DURABLE and conf[bus.RABBIT].rabbit_quorum_queue:
        name = "rabbit_quorum_queue"  # such queues are durable
    text = (
        f"the broker has the {found['which']} with {found['name']} = {found['theirs']}, this "
        f"service wants {found['ours']}: give all services on this bus one value, and delete the "
        "exchange and the queues if they are to change"
    )
    return ConfigError(bus.problem(conf, config_files.of(conf), bus.RABBIT, name, text))
