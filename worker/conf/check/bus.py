# SPDX-License-Identifier: Apache-2.0
"""Whether the message bus can be used as it is configured; no connection is made."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

import oslo_messaging
from kombu import compression
from oslo_config import cfg
from oslo_utils import strutils

from drivers.compat import oslo_config
from worker import entry_points
from worker.compat import oslo_messaging as compat
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import Problem

RABBIT = "oslo_messaging_rabbit"
_NOTIFICATIONS = "oslo_messaging_notifications"
_DURABLE = ("rabbit_quorum_queue", "amqp_durable_queues")
_FILES = ("ssl_ca_file", "ssl_cert_file", "ssl_key_file")
_PREFETCH = "rabbit_qos_prefetch_count"
_RANGES = {"heartbeat_rate": (1, 1000), "heartbeat_timeout_threshold": (0, 65535)}
"""The least and the largest value of options that the library does not check."""

_LONGEST = 255
"""Bytes of a name in AMQP."""

_PORTS = range(1, 65536)

_ESCAPES = "; in a name or password, write # ? , [ ] as %23 %3F %2C %5B %5D, and use no /"

_NOT_DURABLE = (
    "the queues are not durable: a restart of RabbitMQ loses the operations that wait in them. Set "
    "it, or rabbit_quorum_queue, to true in all services on this bus, and delete the old exchange "
    "and queues"
)
_AUTO_DELETE = (
    "the queues are deleted with their last consumer, with the operations in them: set it to false "
    "in all services on this bus, and delete the old exchange and queues"
)
_NOT_VERIFIED = (
    "is not set, so any certificate of a broker is accepted: set it to the broker's authority"
)
_ABSENT = (
    "is not set, so RabbitMQ is looked for on this host, at port 5672, with the user guest: set it "
    "as rabbit://user:password@host:5672/"
)


def faults(conf: cfg.ConfigOpts, found: ConfigFiles) -> list[Problem]:
    """Return the errors that forbid a start, or the sending of notifications."""
    problems = []
    threads = "executor_thread_pool_size"
    if conf[threads] < 1:
        text = f"{conf[threads]} threads run no operation: write 1 at least"
        problems.append(problem(conf, found, "DEFAULT", threads, text))
    if len(conf.control_exchange.encode()) > _LONGEST:
        text = f"is longer than {_LONGEST} bytes"
        problems.append(problem(conf, found, "DEFAULT", "control_exchange", text))
    for section in ("DEFAULT", _NOTIFICATIONS):
        name, text = _fault(conf, conf.transport_url if section == "DEFAULT" else None, section)
        if text:
            place = section if name == "transport_url" else RABBIT
            problems.append(problem(conf, found, place, name, text))
    return list(dict.fromkeys(problems))


def warnings(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[Problem]:
    """Yield settings with which a start loses operations, or trusts any broker."""
    url = oslo_messaging.TransportURL.parse(conf)
    if not url.hosts and url.transport == "rabbit":
        yield problem(conf, found, "DEFAULT", "transport_url", _ABSENT, fatal=False)
    if not is_durable(conf):
        yield problem(conf, found, RABBIT, "amqp_durable_queues", _NOT_DURABLE, fatal=False)
    if deletes_queues(conf):
        yield problem(conf, found, RABBIT, "amqp_auto_delete", _AUTO_DELETE, fatal=False)
    if not verifies(conf):
        yield problem(conf, found, RABBIT, "ssl_ca_file", _NOT_VERIFIED, fatal=False)
    known = entry_points.names("oslo.messaging.notify.drivers")
    for name in sorted({one for one in conf[_NOTIFICATIONS].driver if one} - known):
        text = f"there is no driver {name}, known: {', '.join(sorted(known))}"
        yield problem(conf, found, _NOTIFICATIONS, "driver", text, fatal=False)


def problem(
    conf: cfg.ConfigOpts,
    found: ConfigFiles,
    section: str,
    name: str,
    text: str,
    *,
    fatal: bool = True,
) -> Problem:
    """Return a problem with an option of the bus, where no file sets it with the next best place.

    That is the head of its section, or the address of the bus.
    """
    options = {(group, option.dest): option for group, option in oslo_config.registered(conf)}
    made = found.problem(section, options[section, name], text, fatal=fatal)
    if made.file is not None:
        return made
    near = found.head(section) if section != "DEFAULT" else None
    near = near or found.find("DEFAULT", options["DEFAULT", "transport_url"])
    if near is None:
        return made
    return Problem(near.file, near.line, section, name, text, fatal)


def is_durable(conf: cfg.ConfigOpts) -> bool:
    """Return whether queues outlive a restart of the broker; True for a bus without such queues."""
    settings = _settings(conf, _DURABLE)
    return settings is None or any(map(strutils.bool_from_string, settings))


def deletes_queues(conf: cfg.ConfigOpts) -> bool:
    """Return whether queues are deleted with their last consumer."""
    settings = _settings(conf, ("amqp_auto_delete",))
    return settings is not None and any(map(strutils.bool_from_string, settings))


def verifies(conf: cfg.ConfigOpts) -> bool:
    """Return whether the certificate of the broker is checked; True where there is none."""
    query = oslo_messaging.TransportURL.parse(conf).query
    settings = {name: conf[RABBIT][name] for name in ("ssl", "ssl_ca_file")} | query
    return not strutils.bool_from_string(settings["ssl"]) or bool(settings["ssl_ca_file"])


def _settings(conf: cfg.ConfigOpts, names: Sequence[str]) -> list[object] | None:
    """Return options of RabbitMQ, of the URL where it has them; None for another bus."""
    url = oslo_messaging.TransportURL.parse(conf)
    if url.transport not in compat.SCHEMES:
        return None
    return [url.query.get(name, conf[RABBIT][name]) for name in names]


def _fault(conf: cfg.ConfigOpts, address: str | None, section: str) -> tuple[str, str]:
    """Return an option, and its fault; empty where there is none. No password is shown."""
    address = address or conf[section].transport_url
    if not address:
        return "", ""
    try:
        url = oslo_messaging.TransportURL.parse(conf, address)
    except Exception as error:  # noqa: BLE001 - the library raises ValueError and its own
        return "transport_url", _unreadable(error)
    if text := _place(url):
        return "transport_url", text
    return _options(conf, url) if url.transport in compat.SCHEMES else ("", "")


def _unreadable(error: Exception) -> str:
    if "int()" in str(error):
        return f"has a port that is not a number{_ESCAPES}"
    return f"is not a URL such as rabbit://user:password@host:5672/{_ESCAPES}"


def _place(url: oslo_messaging.TransportURL) -> str:
    for host in url.hosts:
        if host.port is not None and host.port not in _PORTS:
            return f"the port {host.port} is not between 1 and 65535"
        if "@" in (host.hostname or ""):
            return "an @ in a name or password is written %40"
    return ""


def _options(conf: cfg.ConfigOpts, url: oslo_messaging.TransportURL) -> tuple[str, str]:
    options = conf[RABBIT]
    for name in _FILES:
        if options.ssl and options[name] and not os.access(options[name], os.R_OK):
            return name, f"{options[name]} cannot be read"
    known = sorted(compression.encoders())  # type: ignore[no-untyped-call]
    if options.kombu_compression and options.kombu_compression not in known:
        return "kombu_compression", f"is none of {', '.join(known)}"
    for name, (least, most) in _RANGES.items():
        if not least <= options[name] <= most:
            return name, f"{options[name]} is not between {least} and {most}"
    if options[_PREFETCH] <= 0:  # a start limits it
        conf.set_override(_PREFETCH, 1, group=RABBIT)
    try:
        compat.check_options(conf, url)
    except ValueError:  # it passes the password on, with a / in it as it is
        return "transport_url", f"cannot be used{_ESCAPES}"
    except Exception as error:  # noqa: BLE001 - the library raises RuntimeError, and others
        text = str(error).removeprefix("Configuration Error: ").rstrip(".")
        names = [name for name in re.findall(r"\w+", text) if name in options]
        return (names or ["transport_url"])[0], text
    finally:
        conf.clear_override(_PREFETCH, group=RABBIT)
    return "", ""
