# SPDX-License-Identifier: Apache-2.0
"""A rolling upgrade: each host is stopped in order and started again, under load."""

from __future__ import annotations

import random
import time
from typing import Any

from tests.cluster.backend.history import BEGIN, Line, read
from tests.cluster.checks.collect import collect
from tests.cluster.checks.evidence import Struck
from tests.cluster.checks.verdict import Verdict
from tests.cluster.load.generator import Generator
from tests.cluster.load.ledger import Ledger
from tests.cluster.rig.world import World

QUIET = 5.0
"""Seconds of load before the first stop, and after each start."""

PATIENCE = 120.0


def upgrade(world: World, seed: int, rate: float, longest: float) -> tuple[Verdict, dict[str, Any]]:
    """Stop and start each host in turn; return the verdict and the pauses.

    :param longest: seconds of the longest call of the driver.
    """
    ledger = Ledger()
    load = Generator(
        world.cloud, ledger, random.Random(f"{seed} upgrade"), rate=rate, slow=0.3, longest=longest
    )
    load.start()
    stops = []
    try:
        time.sleep(QUIET)
        began = time.monotonic()
        for host in world:
            at = time.monotonic()
            host.stop()
            stops.append(Struck("stop", (host.name,), at, time.monotonic(), orderly=True))
            host.launch()
            host.wait_ready()
            time.sleep(QUIET)
        ended = time.monotonic()
        load.halt()
        load.drain(PATIENCE)
    finally:
        load.close()
    verdict = Verdict.of(collect(world, ledger, stops))
    lines = [line for line in read(world.history) if began <= line.moment <= ended]
    ended_ones = [entry for entry in ledger.entries() if entry.done is not None]
    last = max(ended_ones, key=lambda entry: (entry.done or 0.0) - entry.sent)
    return verdict, {
        "upgraded_hosts": len(stops),
        "operations": verdict.operations,
        "failed": verdict.failed,
        "longest_stop_s": round(max(one.ended - one.began for one in stops), 1),
        "longest_pause_s": round(pause(lines), 1),
        "longest_operation_s": round((last.done or 0.0) - last.sent, 1),
        "longest_operation": last.shown(),
    }


def pause(lines: list[Line]) -> float:
    """Return the longest time in which no call of any host began."""
    moments = [line.moment for line in lines if line.event == BEGIN]
    return max((b - a for a, b in zip(moments, moments[1:], strict=False)), default=0.0)
