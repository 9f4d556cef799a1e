# SPDX-License-Identifier: Apache-2.0
"""Whether the listener for monitors can be used, and is protected where other hosts reach it.

The same for the collector of traces: its libraries, and its address.
"""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from oslo_config import cfg

from worker import file_access
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import Problem
from worker.conf.option_groups import monitoring, tracing
from worker.listen_address import address_of

_FILES = ("tls_cert_file", "tls_key_file", "token_file")


def faults(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[Problem]:
    """Yield the reasons why the listener cannot be used, or must not be."""
    options = {option.dest: option for option in monitoring.OPTS}

    def problem(name: str, text: str) -> Problem:
        return found.problem("monitoring", options[name], text)

    if not (text := monitoring.address(conf)):
        return
    try:
        address = address_of(text, "holdfast-volume")
    except ValueError as error:
        yield problem("listen", str(error))
        return
    section = conf.monitoring
    unreadable = [(name, why) for name in _FILES if (why := _unreadable(section[name]))]
    yield from (problem(name, why) for name, why in unreadable)
    missing = [name for name in _FILES if not section[name]]
    if not address.is_local and missing:
        needs = f"{address} is reached by other hosts: it needs {', '.join(missing)} as well"
        yield problem("listen", needs)
    elif bool(section.tls_cert_file) != bool(section.tls_key_file):
        yield problem("listen", "tls_cert_file and tls_key_file need each other")
    elif unreadable:
        return
    elif section.tls_cert_file and (why := _unusable(section.tls_cert_file, section.tls_key_file)):
        yield problem("tls_cert_file", why)
    elif section.token_file and not Path(section.token_file).read_bytes().strip():
        yield problem("token_file", f"{section.token_file} is empty")


def collector_faults(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[Problem]:
    """Yield the reasons why spans cannot be sent; nothing is imported, and no one is asked."""
    options = {option.dest: option for option in tracing.OPTS}
    section = conf.tracing
    if not section.enabled:
        return
    if _is_missing(section.protocol):
        extra = "otel-grpc" if section.protocol == tracing.GRPC else "otel"
        text = f"OpenTelemetry is not installed: pip install holdfast[{extra}]"
        yield found.problem("tracing", options["enabled"], text)
    if not _is_address(section.endpoint):
        text = "is no address such as http://collector:4318"
        yield found.problem("tracing", options["endpoint"], text)
    if text := _unreadable(section.ca_file):
        yield found.problem("tracing", options["ca_file"], text)


def _unreadable(name: str) -> str:
    if not name:
        return ""
    path = Path(name)
    if text := file_access.unreadable(path):
        return text
    return "" if path.is_file() else f"there is no file {name}"


def _unusable(certificate: str, key: str) -> str:
    """Return why a certificate cannot be used with its key, or ""."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            certificate, key, password=_no_password
        )
    except (ssl.SSLError, OSError, ValueError) as error:
        return f"{certificate} cannot be used with {key}: {error}"
    return ""


def _no_password() -> str:
    raise ValueError("the key has a password")


def _is_address(text: str) -> bool:
    try:
        address = urlsplit(text)
        return address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        return False


def _is_missing(protocol: str) -> bool:
    kind = protocol.partition("/")[0]
    names = ("opentelemetry.sdk.trace", f"opentelemetry.exporter.otlp.proto.{kind}.trace_exporter")
    try:
        return any(importlib.util.find_spec(name) is None for name in names)
    except ModuleNotFoundError:
        return True
