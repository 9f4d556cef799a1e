# SPDX-License-Identifier: Apache-2.0
"""Ours and Cinder's own worker under the same load, one after the other in one run.

Starts RabbitMQ and MariaDB for both, gives each a virtual host and a database that
``cinder-manage db sync`` has filled, and casts to holdfast-volume and to cinder-volume
in turn: creations, snapshots and deletions of 1 GiB with a driver that does nothing.
Both have their default options and one backend; waiting is by the database.
Then both run several backends on a driver of Cinder, see :mod:`bench.backends`.
Cinder runs in the environment of ``tox -e cinder --notest``.

The last line is one JSON object; Cinder's figures have ``peer_`` before their names.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from worker.compat import native_threads  # noqa: E402, F401, I001 - first, before anything of oslo
from bench import backends  # noqa: E402
from bench.workload.blocking import Gate  # noqa: E402
from bench.workload.load import OPERATIONS, Stuck  # noqa: E402
from bench.measurements.machine import Service  # noqa: E402
from bench.workload.sides import PEER, RELEASE, Cinder, Side  # noqa: E402
from tests.servers import Servers, until  # noqa: E402

KEYS = (
    "creates_per_s",
    "cpu_ms_per_create",
    "p50_ms",
    "idle_pss_mib",
    "after_pss_mib",
    "first_op_s",
    "recover_100_s",
)
MORE = (
    "deletes_per_s",
    "cpu_ms_per_delete",
    "snapshots_per_s",
    "cpu_ms_per_snapshot",
    "snapshot_deletes_per_s",
    "cpu_ms_per_snapshot_delete",
    "p95_ms",
    "idle_alone_mib",
    "after_alone_mib",
    "peak_rss_mib",
)
NAMES = {
    "create_volume": "create",
    "delete_volume": "delete",
    "create_snapshot": "snapshot",
    "delete_snapshot": "snapshot_delete",
}
INTERRUPTED = 100
_AT_ONCE = 20
_WARM_UP = 50
_IDLE = 15.0  # seconds; Cinder's first report comes after 10


@dataclass(frozen=True)
class Goal:
    """A bound on how many times Cinder's figure ours is."""

    key: str
    text: str
    most: float


GOALS = (
    Goal("cpu_ms_per_create", "processor time of a create", 1 / 5),
    Goal("idle_pss_mib", "memory, idle", 1 / 2),
    Goal("after_pss_mib", "memory, after the load", 1 / 2),
    Goal("first_op_s", "first operation after the start", 1.0),
)


@dataclass
class Contender:
    """One side and its figures; the median of each counts."""

    side: Side
    found: dict[str, list[float]] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    asked: int = 0

    def note(self, key: str, value: float) -> None:
        """Keep one measurement."""
        self.found.setdefault(key, []).append(value)

    def figures(self) -> dict[str, float]:
        """Return the figures of the summary."""
        latencies = statistics.quantiles(self.found["latency"], n=100)
        rest = {k: statistics.median(v) for k, v in self.found.items() if k != "latency"}
        return {**rest, "p50_ms": latencies[49], "p95_ms": latencies[94]}


def main() -> None:
    """Measure and print."""
    options = _options()
    cinder = Cinder.find(options.peer)
    with Servers() as servers, tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        folder = Path(name)
        gate = Gate(folder / "gate")
        both = (
            Contender(Side.ours(folder / "ours", servers, cinder, options.processes)),
            Contender(Side.peer(folder / "peer", servers, cinder)),
        )
        _start(both, options.starts)
        _load(both, options)
        for _ in range(options.kills):
            for one in both:
                _recover(one, gate)
        several = backends.measure(folder, servers, cinder, options.backends, options.starts)
    _show(both, cinder.version, several)


def _start(both: Sequence[Contender], times: int) -> None:
    """Seconds from the start of the process to the end of a cast that waited for it."""
    for one in both:
        with one.side.service():
            pass  # from now on a queue exists, which keeps messages between two starts
    for _ in range(times):
        for one in both:
            (volume_id,) = one.side.insert(1, status="creating")
            one.side.cast("create_volume", volume_id)
            began = time.monotonic()
            with one.side.service(wait=False):
                one.side.wait_done("create_volume", [volume_id])
                one.note("first_op_s", time.monotonic() - began)
            one.side.forget([volume_id])


def _load(both: Sequence[Contender], options: argparse.Namespace) -> None:
    """Rounds in turn, so that whatever else the machine does hits both."""
    with contextlib.ExitStack() as stack:
        services = [stack.enter_context(one.side.service()) for one in both]
        time.sleep(_IDLE)
        for one, service in zip(both, services, strict=True):
            _memory(one, service, "idle")
        for one, service in zip(both, services, strict=True):
            _round(Contender(one.side), service, _WARM_UP)  # connections, compiled statements
        for number in range(options.rounds):
            for one, service in zip(both, services, strict=True):
                _round(one, service, options.count)
                _latencies(one, options.latency // options.rounds)
                _progress(one, number + 1)
        for one, service in zip(both, services, strict=True):
            _memory(one, service, "after")
            one.note("peak_rss_mib", service.peak_rss_mib())


def _memory(one: Contender, service: Service, when: str) -> None:
    one.note(f"{when}_pss_mib", service.pss_mib())
    one.note(f"{when}_alone_mib", service.alone_mib())


def _round(one: Contender, service: Service, count: int) -> None:
    """Each kind of cast, all at once; only successes continue to the next kind."""
    side = one.side
    volumes = _timed(one, service, "create_volume", side.insert(count, status="creating"))
    made = _timed(one, service, "create_snapshot", side.insert_snapshots(volumes))
    side.prepare_delete("delete_snapshot", made)
    gone = _timed(one, service, "delete_snapshot", made)
    volumes = [side.volume_of(snapshot_id) for snapshot_id in gone]
    side.prepare_delete("delete_volume", volumes)
    _timed(one, service, "delete_volume", volumes)


def _timed(one: Contender, service: Service, method: str, ids: Sequence[str]) -> list[str]:
    """Cast for all, wait, and return those that ended as they should."""
    side, name = one.side, NAMES[method]
    cpu, began = service.cpu_seconds(), time.monotonic()
    for resource_id in ids:
        side.cast(method, resource_id)
    try:
        side.wait_done(method, ids, every=0.02)
        ended, used = time.monotonic(), service.cpu_seconds() - cpu
    except Stuck as stuck:
        ended, used = stuck.since, service.cpu_seconds() - cpu
        waited = time.monotonic() - ended
        seconds, idle = service.timed(lambda: time.sleep(10))
        used -= waited * idle / seconds
    done = _sorted_out(one, method, ids)
    if done:
        one.note(f"{name}s_per_s", len(done) / (ended - began))
        one.note(f"cpu_ms_per_{name}", used / len(done) * 1e3)
    return done


def _sorted_out(one: Contender, method: str, ids: Sequence[str]) -> list[str]:
    """Count and remove the failures; return the rest."""
    side, done = one.side, OPERATIONS[method].done
    statuses = side.statuses(method, ids)
    failed = [i for i in ids if statuses[i] != done]
    one.asked += len(ids)
    one.failed += Counter(f"{method} left {statuses[i]}" for i in failed)
    side.forget([side.volume_of(i) for i in failed])
    return [i for i in ids if statuses[i] == done]


def _latencies(one: Contender, count: int) -> None:
    """Milliseconds from cast to ``available``, one operation at a time."""
    ids = one.side.insert(count, status="creating")
    for volume_id in ids:
        began = time.monotonic()
        one.side.cast("create_volume", volume_id)
        one.side.wait_done("create_volume", [volume_id], every=0.0005)
        one.note("latency", (time.monotonic() - began) * 1e3)
    one.side.forget(ids)


def _recover(one: Contender, gate: Gate) -> None:
    """Kill it in the middle of creations; seconds of the next start until all have ended."""
    side = one.side
    gate.close()
    ids = side.insert(INTERRUPTED, status="creating")
    service = side.service(blocking=True)
    for sent, volume_id in enumerate(ids, start=1):
        side.cast("create_volume", volume_id)
        # Not more at once than Cinder has connections to its database.
        _wait_for(gate, sent - _AT_ONCE)
    _wait_for(gate, INTERRUPTED)
    service.kill()
    gate.open()
    began = time.monotonic()
    with side.service(wait=False, blocking=True):
        side.wait_done("create_volume", ids, every=0.02)
        one.note("recover_100_s", time.monotonic() - began)
    one.ended += Counter(side.statuses("create_volume", ids).values())
    side.forget(ids)


def _wait_for(gate: Gate, count: int) -> None:
    until(lambda: gate.arrived() >= count, 120, f"{count} creations to be under way")


def _progress(one: Contender, number: int) -> None:
    last = {key: values[-1] for key, values in one.found.items()}
    print(
        f"round {number}, {one.side.name}: {last['creates_per_s']:.1f} creates/s,"
        f" {last['cpu_ms_per_create']:.1f} ms of a processor each",
        flush=True,
    )


def _show(both: Sequence[Contender], version: str, several: dict[str, float]) -> None:
    ours, peer = (one.figures() for one in both)
    release = "" if version == RELEASE else f", not {RELEASE}, which is what it is for"
    print(f"\nThe peer is cinder-volume {version}{release}.\n")
    print(f"{'figure':<28}{'ours':>10}{'Cinder':>10}{'ours/Cinder':>13}")
    for key in (*KEYS, *MORE):
        print(f"{key:<28}{ours[key]:>10.2f}{peer[key]:>10.2f}{ours[key] / peer[key]:>13.3f}")
    print()
    for one in both:
        ended = ", ".join(f"{count} {status}" for status, count in sorted(one.ended.items()))
        print(f"what a kill interrupted ended in, {one.side.name}: {ended}")
        failed = ", ".join(f"{count} {what}" for what, count in sorted(one.failed.items()))
        print(f"of {one.asked} casts did not end as asked, {one.side.name}: {failed or 'none'}")
    for goal in GOALS:
        ratio = ours[goal.key] / peer[goal.key]
        times = f"{ratio:.2f} of Cinder's, 1/{1 / ratio:.1f}"
        judged = "met" if ratio <= goal.most else "MISSED"
        print(f"{goal.text}: {times} (goal: at most {goal.most:g}): {judged}")
    told = {key: round(ours[key], 2) for key in KEYS}
    told |= {f"peer_{key}": round(peer[key], 2) for key in KEYS}
    for key in MORE:
        told |= {key: round(ours[key], 2), f"peer_{key}": round(peer[key], 2)}
    told |= {"failed": both[0].failed.total(), "peer_failed": both[1].failed.total()}
    print(json.dumps(told | several))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench peer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add: Callable[..., object] = parser.add_argument
    add("--peer", default=str(PEER), help="a python that has Cinder (default: that of tox)")
    add("--count", type=_some, default=500, help="resources per round (default: 500)")
    add("--rounds", type=_some, default=3, help="rounds; the median counts (default: 3)")
    add("--latency", type=_some, default=200, help="creations one at a time (default: 200)")
    add("--starts", type=_some, default=5, help="starts; the median counts (default: 5)")
    add("--kills", type=_some, default=3, help="kills; the median counts (default: 3)")
    counts = backends.COUNTS
    add("--backends", type=backends.numbers, default=counts, help=f"several (default: {counts})")
    add("--processes", type=_some, default=1, help="of our backend; Cinder has 1 (default: 1)")
    return parser.parse_args()


def _some(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


if __name__ == "__main__":
    main()
