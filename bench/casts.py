# SPDX-License-Identifier: Apache-2.0
"""Create and delete volumes by cast with a driver that does nothing.

Starts RabbitMQ, MariaDB and the service by itself, sends the casts of an unmodified
cinder-scheduler, and prints operations per second, the worker's CPU time
per operation, latency from cast to terminal status, memory, and the time from
process start to the first finished operation. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.measurements import machine  # noqa: E402
from bench.workload import load  # noqa: E402
from tests.servers import Servers  # noqa: E402

PEER = {
    "creates_per_s": 40.0,
    "deletes_per_s": 36.0,
    "cpu_ms_per_create": 25.0,
    "p50_ms": 24.8,
    "p95_ms": 29.3,
    "idle_pss_mib": 154.0,
    "after_pss_mib": 243.0,
    "first_op_s": 1.42,
}
"""Cinder 29.0.0, eventlet, measured on a machine of the same kind (docs/benchmarks.rst)."""


def main() -> None:
    """Run all the parts and print the figures."""
    options = _options()
    with Servers() as servers, tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        setting = load.Setting.prepare(servers, Path(folder))
        figures = _throughput(setting, options)
        figures |= _single(setting, options)
    _show(figures)
    print(json.dumps({key: figures[key] for key in _KEYS}))


_KEYS = (
    "creates_per_s",
    "deletes_per_s",
    "cpu_ms_per_create",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "idle_pss_mib",
    "after_pss_mib",
    "first_op_s",
)


def _throughput(setting: load.Setting, options: argparse.Namespace) -> dict[str, float]:
    """Casts all at once, to as many processes as there are cores."""
    with setting.service(processes=options.processes) as service:
        _round(setting, service, min(50, options.count))  # connections, compiled statements
        rounds = [_round(setting, service, options.count) for _ in range(options.rounds)]
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}


def _round(setting: load.Setting, service: machine.Service, count: int) -> dict[str, float]:
    ids = setting.insert(count, status="creating")
    create_s, create_cpu = service.timed(lambda: setting.cast_all("create_volume", ids))
    setting.prepare_delete("delete_volume", ids)
    delete_s, delete_cpu = service.timed(lambda: setting.cast_all("delete_volume", ids))
    return {
        "creates_per_s": count / create_s,
        "deletes_per_s": count / delete_s,
        "cpu_ms_per_create": create_cpu / count * 1e3,
        "cpu_ms_per_delete": delete_cpu / count * 1e3,
    }


def _single(setting: load.Setting, options: argparse.Namespace) -> dict[str, float]:
    """One process, as it is by default: start, idle, one operation at a time, soak."""
    first = []
    for _ in range(3):
        ids = setting.insert(1, status="creating")
        setting.cast("create_volume", ids[0])
        began = time.monotonic()
        with setting.service(processes=1, wait=False):
            setting.wait_done("create_volume", ids)
            first.append(time.monotonic() - began)
    with setting.service(processes=1) as service:
        time.sleep(3)  # background work of a start
        idle = service.pss_mib()
        latencies = sorted(_latency(setting) for _ in range(options.latency))
        soak = _soak(setting, service, options.soak)
    return {
        "first_op_s": statistics.median(first),
        "idle_pss_mib": idle,
        "p50_ms": _percentile(latencies, 50),
        "p95_ms": _percentile(latencies, 95),
        "p99_ms": _percentile(latencies, 99),
        **soak,
    }


def _latency(setting: load.Setting) -> float:
    """Milliseconds from cast to ``available``, alone on the bus."""
    (volume_id,) = setting.insert(1, status="creating")
    began = time.monotonic()
    setting.cast("create_volume", volume_id)
    setting.wait_done("create_volume", [volume_id], every=0.0005)
    return (time.monotonic() - began) * 1e3


def _soak(setting: load.Setting, service: machine.Service, operations: int) -> dict[str, float]:
    """Memory at the quarters of a long run: growth shows between the last ones."""
    marks = []
    for _ in range(4):
        for done in range(0, operations // 4, 500):
            ids = setting.insert(min(500, operations // 4 - done) // 2, status="creating")
            setting.cast_all("create_volume", ids)
            setting.prepare_delete("delete_volume", ids)
            setting.cast_all("delete_volume", ids)
        marks.append(service.pss_mib())
    print("PSS at the quarters of the soak, MiB:", ", ".join(f"{m:.1f}" for m in marks))
    return {"after_pss_mib": marks[-1], "soak_growth_mib": marks[-1] - marks[0]}


def _percentile(values: list[float], percent: int) -> float:
    return values[min(len(values) - 1, len(values) * percent // 100)]


def _show(figures: dict[str, float]) -> None:
    print(f"{'figure':<20}{'measured':>12}{'peer':>10}{'ratio':>8}")
    for key, value in figures.items():
        peer = PEER.get(key)
        ratio = "" if not peer else f"{value / peer:8.2f}"
        print(f"{key:<20}{value:>12.2f}{peer or '':>10}{ratio:>8}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="volumes per round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the median counts")
    parser.add_argument("--processes", type=int, default=2, help="processes of the backend")
    parser.add_argument("--latency", type=int, default=200, help="operations one at a time")
    parser.add_argument("--soak", type=int, default=10_000, help="operations before the last PSS")
    return parser.parse_args()


if __name__ == "__main__":
    main()
