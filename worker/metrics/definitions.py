# SPDX-License-Identifier: Apache-2.0
"""The metrics of a service: names, kinds, labels and meanings (docs/monitoring.rst lists them).

Names begin with ``holdfast_`` and stand beside those of openstack-exporter. No label holds an id:
each value is one of a few. The labels ``service`` and ``hostname`` are added to all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MetricKind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "max", "min"]

SYSTEMS = ("bus", "database", "journal", "leases", "locks", "reports", "start", "store")
"""Systems whose outages are noticed; reports are those to the schedulers, and the store is that
of backups."""

LONG = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)
"""Bounds of operations and calls of drivers, in seconds."""

SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Bounds of a commit, in seconds."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    :param merge: how values of several processes of one service become one.
    :param shared: whether all services of a host would report the same value: one does.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    merge: Merge = "sum"
    bounds: tuple[float, ...] = ()
    shared: bool = False


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"holdfast_{name}_total", "counter", text, labels)


def _histogram(name: str, text: str, *labels: str, bounds: tuple[float, ...] = LONG) -> Metric:
    return Metric(f"holdfast_{name}", "histogram", text, labels, bounds=bounds)


def _gauge(
    name: str, text: str, *labels: str, merge: Merge = "sum", shared: bool = False
) -> Metric:
    return Metric(f"holdfast_{name}", "gauge", text, labels, merge, shared=shared)


CASTS_ACCEPTED = _counter("casts_accepted", "Casts that were written to the journal.", "method")
CASTS_REPEATED = _counter(
    "casts_repeated", "Casts that were delivered again, and run once.", "method"
)
CASTS_WAITING = _gauge(
    "casts_waiting", "Casts that arrived and are not accepted yet; deferred ones are among them."
)
CASTS_DEFERRED = _gauge("casts_deferred", "Casts that the limits of waiting operations keep back.")
REJECTED = _counter("messages_rejected", "Messages that are no operation.")

OPERATIONS = _counter("operations", "Operations that ended, by their result.", "method", "result")
OPERATION_SECONDS = _histogram(
    "operation_seconds", "Time of operations on their threads.", "method"
)
RESUMED = _counter("operations_resumed", "Operations that resumed after an interruption.", "method")
REVERTED = _counter(
    "operations_reverted", "Operations that were reverted, by the cause.", "method", "cause"
)
LEFTOVERS = _counter("leftovers", "Operations with reverts that failed: something may be left.")
RUNNING = _gauge("operations_running", "Operations that run.", "method")
WAITING = _gauge(
    "operations_waiting",
    "Operations and calls that wait: for their turn, a thread, a lock, or their project's limit.",
    *("method", "reason"),
)
WAIT_SECONDS = _histogram(
    "operation_wait_seconds",
    "Time of casts from their acceptance to the begin on a thread.",
)
PROJECTS = _gauge("projects", "Projects with operations that run, or wait.", "state", merge="max")
PROJECT_MOST = _gauge(
    "project_operations_max",
    "Most operations of one project that run, or wait.",
    "state",
    merge="max",
)
THREADS_WAITING = _gauge(
    "threads_waiting", "Threads of operations that wait for those that run Python code now."
)
LOCK_SECONDS = _histogram("lock_wait_seconds", "Time of waits for locks of other processes.")
LOCKS_HELD = _gauge("locks_held", "Locks against other processes that are held.")
OLDEST = _gauge(
    "operation_oldest_seconds",
    "Age of the oldest operation since its acceptance.",
    "method",
    merge="max",
)

DRIVER_SECONDS = _histogram("driver_call_seconds", "Time of calls of a driver.", "driver", "method")
DRIVER_ERRORS = _counter("driver_call_errors", "Calls of a driver that raised.", "driver", "method")
DRIVER_UP = _gauge("driver_initialized", "Whether the driver is up in each process.", merge="min")

COMMIT_SECONDS = _histogram(
    "journal_commit_seconds", "Time of durable transactions of the journal.", bounds=SHORT
)
JOURNAL_ENTRIES = _gauge(
    "journal_entries", "Entries of the journal.", "state", merge="max", shared=True
)
JOURNAL_BYTES = _gauge(
    "journal_bytes",
    "Bytes of the journal: of kept failures, of the file.",
    "part",
    merge="max",
    shared=True,
)

OUTAGES = _counter("outages", "Outages of systems that the service uses.", "system")
OUTAGE_SECONDS = _gauge(
    "outage_seconds",
    "Time for which an outage has lasted so far; 0 for none.",
    "system",
    merge="max",
)
OUTAGE_WAITS = _gauge(
    "outage_waiting_threads", "Threads that wait for the end of an outage.", "system"
)

HEARTBEATS = _counter("heartbeats", "Heartbeats in the services table.", "result")
HEARTBEAT_AGE = _gauge(
    "heartbeat_age_seconds", "Time since the last heartbeat of the service.", merge="max"
)
REPORTS = _counter("reports", "Capability reports to the schedulers.", "result")
REPORT_AGE = _gauge("report_age_seconds", "Time since the last capability report.", merge="max")

LEASE_LEFT = _gauge(
    "slot_lease_remaining_seconds", "Time until the lease of a slot ends.", "process", merge="min"
)
EPOCH = _gauge("slot_epoch", "Epoch of a slot: how often it was taken.", "process", merge="max")
ADOPTED = _counter("slot_adoptions", "Slots of dead processes that were adopted.")

TRANSFERRED = _counter("transferred_bytes", "Bytes that data transfers have moved.", "method")
TRANSFERS = _gauge("transfers_running", "Data transfers that run.", "method")
TRANSFER_RATE = _gauge(
    "transfer_bytes_per_second", "Rate of the data transfers that run.", "method"
)
THROTTLED = _counter(
    "transfer_throttled_seconds", "Time that data transfers waited for bandwidth.", "limit"
)
TRANSFER_LEFT = _gauge(
    "transfer_remaining_seconds",
    "Time that the longest data transfer needs at its rate.",
    "method",
    merge="max",
)

POOL_TOTAL = _gauge("pool_capacity_total_bytes", "Capacity of a pool.", "pool", merge="max")
POOL_FREE = _gauge("pool_capacity_free_bytes", "Free capacity of a pool.", "pool", merge="max")
POOL_PROVISIONED = _gauge(
    "pool_capacity_provisioned_bytes", "Capacity that a pool has promised.", "pool", merge="max"
)
POOL_RATIO = _gauge(
    "pool_max_over_subscription_ratio", "How much of a pool may be promised.", "pool", merge="max"
)

TRANSIENT = _gauge(
    "transient_resources",
    "Resources of the service in a transient status.",
    *("resource", "status"),
    merge="max",
)
TRANSIENT_AGE = _gauge(
    "transient_oldest_seconds",
    "Time since the last change of the oldest of these rows.",
    *("resource", "status"),
    merge="max",
)

AUDIT_DRIFTS = _gauge(
    "audit_drifts", "Drifts that the last audit found.", "kind", merge="max", shared=True
)
AUDIT_UNABLE = _gauge(
    "audit_unread", "Places that the last audit could not read.", merge="max", shared=True
)
AUDIT_AGE = _gauge(
    "audit_age_seconds", "Time since the end of the last audit.", merge="max", shared=True
)
AUDIT_SECONDS = _gauge("audit_seconds", "Time that the last audit took.", merge="max", shared=True)

TRACE_SPANS = _counter(
    "trace_spans", "Spans of traces that were sent, or lost on their way.", "result"
)

READY = _gauge("service_ready", "Whether all processes take operations.", merge="min")
ALIVE = _gauge("service_alive", "Whether the loops of all processes pass.", merge="min")
FAILED_CHECKS = _gauge("check_failed", "Processes that fail a check of /readyz.", "check")
PROCESSES = _gauge("processes", "Processes whose snapshots are fresh.")
BUILD = _gauge("build_info", "The version, as a label.", "version", merge="max", shared=True)

METRICS: Mapping[str, Metric] = {
    one.name: one for one in list(globals().values()) if isinstance(one, Metric)
}
"""All metrics, by their names."""
