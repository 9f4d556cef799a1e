# SPDX-License-Identifier: Apache-2.0
"""Whether traces can be sent: the libraries, and the address of the collector."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from oslo_config import cfg

from worker import file_access
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import Problem
from worker.conf.option_groups import tracing


def faults(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[Problem]:
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
    if section.ca_file:
        path = Path(section.ca_file)
        missing = "" if path.is_file() else f"there is no file {path}"
        if text := file_access.unreadable(path) or missing:
            yield found.problem("tracing", options["ca_file"], text)


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
