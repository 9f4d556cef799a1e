# SPDX-License-Identifier: Apache-2.0
"""The sections of a report, each as lines of text; secrets are masked, and long lists are cut."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from oslo_config import cfg

from drivers.compat import oslo_config
from flows.engine.flow_run import FlowRun
from flows.secret_texts import masked_text
from worker.execution.runs.operation_run import OperationRun
from worker.metrics.beats import BEATS
from worker.metrics.outages import OUTAGES
from worker.service.monitoring import process_checks
from worker.service.parts import Parts
from worker.service.start_stop import Service

MOST = 200
"""Entries of one section that are shown."""

DEEPEST = 60
"""Calls of a stack that are shown, the innermost ones."""

Section = Callable[[], Iterable[str]]


def of(conf: cfg.ConfigOpts, service: Service | None) -> Mapping[str, Section]:
    """Return the sections by their titles.

    :param service: None in a process that only supervises others.
    """
    found: dict[str, Section] = {"process": _process, "threads": _threads}
    if service is not None:
        found["checks"] = lambda: _checks(service)
        if (parts := service.built) is not None:
            found["operations"] = lambda: _operations(parts)
            found["turns"] = lambda: _turns(parts)
            found["locks"] = lambda: _locks(parts)
            found["queues and threads"] = lambda: _pools(parts)
    found["outages"] = _outages
    found["configuration"] = lambda: _configuration(conf)
    return found


def limited(lines: Iterable[str], most: int) -> Iterator[str]:
    """Yield so many lines, and a line with the number of the others."""
    rest = iter(lines)
    yield from islice(rest, most)
    if left := sum(1 for _line in rest):
        yield f"… {left} more"


def _process() -> Iterator[str]:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    yield f"pid {os.getpid()}, parent {os.getppid()}"
    for name in ("VmRSS", "VmSwap", "Threads"):
        yield f"{name} {' '.join(status.get(name, '?').split())}"
    yield f"descriptors {len(os.listdir('/proc/self/fd'))}"
    user, system = os.times()[:2]
    yield f"processor time {user + system:.1f} s"


def _threads() -> Iterator[str]:
    names = {one.ident: one.name for one in threading.enumerate()}
    frames = sorted(sys._current_frames().items(), key=lambda one: names.get(one[0]) or "")
    for ident, frame in frames[:MOST]:
        yield f"{names.get(ident, 'not of Python')} ({ident})"
        for entry in traceback.extract_stack(frame)[-DEEPEST:]:
            yield f"  {entry.filename}:{entry.lineno} {entry.name}: {entry.line}"
    if len(frames) > MOST:
        yield f"… {len(frames) - MOST} more"


def _checks(service: Service) -> Iterator[str]:
    now = time.monotonic()
    for name, why in process_checks.alive(service, now).items():
        yield f"alive, {name}: {why or 'passed'}"
    for name, why in process_checks.ready(service, {}, now).items():
        yield f"ready, {name}: {masked_text(why) or 'passed'}"
    for name, age in BEATS.ages(now).items():
        yield f"last pass of {name}: {age:.1f} s ago"


def _operations(parts: Parts) -> Iterator[str]:
    flows = {flow.flow: flow for flow in parts.operations.flows()}
    runs = sorted(parts.operations.runs(), key=lambda run: run.since)
    yield from limited((_operation(run, flows.get(run.flow)) for run in runs), MOST)


def _operation(run: OperationRun, flow: FlowRun | None) -> str:
    now, operation = time.monotonic(), run.operation
    state = f"waits for its {run.waits_for}" if run.waits_for else "runs"
    parts = [f"{operation}", f"flow {run.flow}", f"request {operation.request.request_id}"]
    parts += [state, f"{now - run.since:.1f} s old"]
    if run.resumed:
        parts.append("resumed")
    if run.revert is not None:
        parts.append("is reverted")
    if flow is not None:
        step = flow.step
        parts.append(f"task {step.name if step is not None else 'between two'}")
        parts.append(f"last progress {now - flow.changed_at:.1f} s ago")
        if flow.transfer.size:
            parts.append(f"moves {flow.transfer.size} bytes, {flow.transfer.rate:.0f} a second")
    return ", ".join(parts)


def _turns(parts: Parts) -> Iterator[str]:
    queues = sorted(parts.base.queue.places().items())
    for name, places in queues[:MOST]:
        owners = [str(owner) or "?" for owner, waits in places if not waits]
        waiting = [str(owner) or "?" for owner, waits in places if waits]
        yield f"{name}: {'; '.join(owners)}"
        yield from limited((f"  then {owner}" for owner in waiting), MOST // 10)
    if len(queues) > MOST:
        yield f"… {len(queues) - MOST} more"


def _locks(parts: Parts) -> Iterator[str]:
    for name, (held, waits) in sorted(parts.base.locks.held_names().items()):
        how = "held by this process" if held else "held by another process, or its server is away"
        yield f"{name}: {how}, {waits} threads wait"


def _pools(parts: Parts) -> Iterator[str]:
    yield f"casts that are not accepted yet: {parts.intake.waiting}"
    yield f"casts that the limits keep back: {parts.intake.deferred}"
    for name, pool in parts.operations.threads():
        running, waiting, size = pool.counts
        counts = f"{running} of {pool.threads} threads busy, {waiting} wait with {size} bytes"
        yield f"{name}: {counts}"
    yield f"threads that wait to run Python code: {parts.base.limiter.waiting}"


def _outages() -> Iterator[str]:
    for system, seconds in OUTAGES.lasting().items():
        yield f"{system}: away for {seconds:.0f} s, {OUTAGES.waits().get(system, 0)} threads wait"


def _configuration(conf: cfg.ConfigOpts) -> Iterator[str]:
    """Yield the options that are set, without those that are secret."""
    for section, option in oslo_config.registered(conf):
        try:
            group = conf if section == "DEFAULT" else conf[section]
            value = getattr(group, option.dest)
        except (cfg.Error, AttributeError, ValueError) as error:
            value = f"cannot be read: {type(error).__name__}"
        if value in (None, option.default):
            continue
        text: Any = "***" if option.secret else value
        yield masked_text(f"[{section}] {option.dest} = {text}")
