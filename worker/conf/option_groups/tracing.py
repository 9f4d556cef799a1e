# SPDX-License-Identifier: Apache-2.0
"""Traces of operations for OpenTelemetry; section [tracing]."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("tracing", title="Traces of operations for OpenTelemetry")

GRPC = "grpc"

OPTS = [
    cfg.BoolOpt(
        "enabled",
        default=False,
        help="Send a span of each operation, task and driver call to a collector of "
        "OpenTelemetry. Needs pip install holdfast[otel].",
    ),
    cfg.StrOpt(
        "endpoint",
        default="http://localhost:4318",
        help="Address of the collector. With http/protobuf, spans go to ENDPOINT/v1/traces; "
        "with grpc, https:// means TLS.",
    ),
    cfg.StrOpt(
        "protocol",
        default="http/protobuf",
        choices=["http/protobuf", GRPC],
        help="Protocol of the collector; grpc needs pip install holdfast[otel-grpc].",
    ),
    cfg.StrOpt(
        "ca_file",
        default="",
        help="File with the certificates that sign that of the collector, in PEM; empty: those "
        "of the system.",
    ),
    cfg.DictOpt(
        "headers",
        default={},
        secret=True,
        help="Headers of the requests to the collector, as in authorization:Bearer TOKEN.",
    ),
    cfg.StrOpt(
        "service_name",
        default="",
        help="Name of the service in spans; empty: holdfast-volume or holdfast-backup.",
    ),
    cfg.FloatOpt(
        "sampling_ratio",
        default=1.0,
        min=0.0,
        max=1.0,
        help="Share of the operations that are traced, among those whose caller sends no trace. "
        "Where the caller sends one, its decision holds.",
    ),
    cfg.IntOpt(
        "queue_size",
        default=4096,
        min=1,
        help="Spans that wait for the collector in each process; further ones are dropped, and "
        "counted in holdfast_trace_spans_total.",
    ),
    cfg.IntOpt(
        "timeout",
        default=10,
        min=1,
        help="Seconds that one attempt to send spans may take. Neither an operation nor a stop "
        "waits for it.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options of traces known."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)
