# SPDX-License-Identifier: Apache-2.0
"""Both workers with several backends on a driver of Cinder: memory at rest, time to start.

A creation waits in the queue of each backend while the service is down. The clock runs from
the start of the process to the end of the first creation, and to the end of the last one. The
processor time is that of the whole family until then.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from worker.compat import native_threads  # noqa: E402, F401, I001 - first, before anything of oslo
from bench.measurements.machine import Service  # noqa: E402
from bench.workload.sides import PEER, Cinder, Side  # noqa: E402
from bench.workload.load import BACKEND, OPERATIONS  # noqa: E402
from tests.servers import Servers, until  # noqa: E402

COUNTS = "1,4,16"
KEYS = ("idle_pss_mib", "idle_alone_mib", "first_queued_s", "last_queued_s", "start_cpu_s")
GOALS = ("idle_pss_mib", "first_queued_s", "last_queued_s")
"""Figures of which ours is to be less than Cinder's."""

_IDLE = 15.0  # seconds; Cinder's first report comes after 10
_PATIENCE = 120.0

Figures = dict[str, list[float]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench backends", description=__doc__.split("\n")[0])
    parser.add_argument("--peer", default=str(PEER), help="a python that has Cinder")
    parser.add_argument("--backends", type=numbers, default=COUNTS, help=f"default: {COUNTS}")
    parser.add_argument("--starts", type=int, default=3, help="the median counts (default: 3)")
    options = parser.parse_args()
    cinder = Cinder.find(options.peer)
    with Servers() as servers, tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        told = measure(Path(folder), servers, cinder, options.backends, options.starts)
    print(json.dumps(told))


def numbers(text: str) -> list[int]:
    """Return the numbers of backends that an option names."""
    found = [int(one) for one in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return found


def measure(
    folder: Path, servers: Servers, cinder: Cinder, counts: Sequence[int], starts: int
) -> dict[str, float]:
    """Measure each number of backends, print a table, and return the figures of the summary."""
    names = [BACKEND, *(f"{BACKEND}{number}" for number in range(1, max(counts)))]
    sides = (
        Side.adapted(folder / "adapted", servers, cinder),
        Side.peer(folder / "several", servers, cinder),
    )
    for side in sides:
        with side.service(backends=names):
            pass  # from now on queues exist, which keep messages between two starts
    told: dict[str, float] = {}
    print(f"\n{'backends':<10}{'figure':<18}{'ours':>10}{'Cinder':>10}{'ours/Cinder':>13}")
    for count in counts:
        found: list[Figures] = [{}, {}]
        for number in range(starts):
            for side, figures in zip(sides, found, strict=True):
                _start(side, names[:count], figures, measured=number == 0)
        for key in KEYS:
            ours, peer = (statistics.median(figures[key]) for figures in found)
            print(f"{count:<10}{key:<18}{ours:>10.2f}{peer:>10.2f}{ours / peer:>13.3f}", flush=True)
            told |= {f"{key}_{count}": round(ours, 2), f"peer_{key}_{count}": round(peer, 2)}
    for key in GOALS:
        missed = [count for count in counts if told[f"{key}_{count}"] > told[f"peer_{key}_{count}"]]
        judged = f"MISSED with {missed} backends" if missed else "met"
        print(f"{key} with several backends (goal: less than Cinder's): {judged}")
    return told


def _start(side: Side, names: Sequence[str], figures: Figures, *, measured: bool) -> None:
    """Start once, with a creation in each queue; at the first start measure the memory."""
    ids = [one for name in names for one in side.insert(1, status="creating", backend=name)]
    for volume_id in ids:
        side.cast("create_volume", volume_id)
    done = OPERATIONS["create_volume"].done

    def any_done() -> bool:
        return done in side.statuses("create_volume", ids).values()

    began = time.monotonic()
    with side.service(wait=False, backends=names) as service:
        until(any_done, _PATIENCE, "the first creation to end")
        figures.setdefault("first_queued_s", []).append(time.monotonic() - began)
        side.wait_done("create_volume", ids, every=0.005)
        figures.setdefault("last_queued_s", []).append(time.monotonic() - began)
        figures.setdefault("start_cpu_s", []).append(service.cpu_seconds())
        if measured:
            _memory(service, figures)
    ended = side.statuses("create_volume", ids)
    if set(ended.values()) != {done}:
        raise RuntimeError(f"creations of {side.name} ended in {sorted(set(ended.values()))}")
    side.forget(ids)


def _memory(service: Service, figures: Figures) -> None:
    time.sleep(_IDLE)
    figures.setdefault("idle_pss_mib", []).append(service.pss_mib())
    figures.setdefault("idle_alone_mib", []).append(service.alone_mib())


if __name__ == "__main__":
    main()
