# SPDX-License-Identifier: Apache-2.0
"""How soon a service is of use again after a kill.

Starts RabbitMQ, MariaDB and the service by itself. Prints how long after its start
the first new cast is done, with as many volumes in the database as asked for, a
tenth of them in use; then kills the service in the middle of many creations and
prints when all have ended, and when a new cast was done meanwhile. The last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from worker.compat import native_threads  # noqa: E402, F401, I001 - first, before anything of oslo
from bench.workload import load  # noqa: E402
from bench.workload.blocking import Gate  # noqa: E402
from tests.servers import Servers, until  # noqa: E402

GOALS = {"first_cast_s": 2.0, "recovered_s": 30.0}
_OPEN = "SELECT COUNT(*) FROM flowdetails WHERE state NOT IN ('SUCCESS', 'REVERTED', 'FAILURE')"


def main() -> None:
    """Measure and print."""
    options = _options()
    with Servers(durable=True) as servers, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gate = Gate(folder / "gate")
        setting = load.Setting.prepare(
            servers,
            folder,
            driver="bench.workload.blocking.BlockingDriver",
            options={"executor_thread_pool_size": options.interrupted + 50},
        )
        _fill(setting, options.volumes)
        with setting.service(processes=1):
            pass  # from now on a queue exists, which keeps messages between two starts
        figures = {"volumes": float(options.volumes), "interrupted": float(options.interrupted)}
        figures["first_cast_s"] = statistics.median(_first(setting) for _ in range(options.rounds))
        figures |= _recover(setting, gate, options.interrupted)
    for key, value in figures.items():
        goal = f"   goal {GOALS[key]:g}" if key in GOALS else ""
        print(f"{key:<24}{value:>12.2f}{goal}")
    print(json.dumps({key: round(value, 2) for key, value in figures.items()}))


def _fill(setting: load.Setting, volumes: int) -> None:
    for status, count in (("available", volumes * 9 // 10), ("in-use", volumes // 10)):
        for start in range(0, count, 10_000):
            setting.insert(min(10_000, count - start), status=status)


def _first(setting: load.Setting) -> float:
    """Seconds from the start of the process to the end of a cast that waited for it."""
    ids = setting.insert(1, status="creating")
    setting.cast("create_volume", ids[0])
    began = time.monotonic()
    with setting.service(processes=1, wait=False):
        setting.wait_done("create_volume", ids)
        return time.monotonic() - began


def _recover(setting: load.Setting, gate: Gate, count: int) -> dict[str, float]:
    gate.close()
    ids = setting.insert(count, status="creating")
    service = setting.service(processes=1)
    for volume_id in ids:
        setting.cast("create_volume", volume_id)
    until(lambda: _unfinished(setting) == count, 120, f"{count} operations to be under way")
    service.kill()
    gate.open()
    new = setting.insert(1, status="creating")
    setting.cast("create_volume", new[0])
    began = time.monotonic()
    with setting.service(processes=1, wait=False):
        setting.wait_done("create_volume", new)
        first = time.monotonic() - began
        setting.wait_done("create_volume", ids, every=0.02)
        until(lambda: _unfinished(setting) == 0, 60, "the journal to have no open flow")
        return {"recovered_s": time.monotonic() - began, "first_cast_meanwhile_s": first}


def _unfinished(setting: load.Setting) -> int:
    with contextlib.closing(sqlite3.connect(setting.journal, timeout=30)) as db:
        return int(db.execute(_OPEN).fetchone()[0])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=100_000, help="rows in the database")
    parser.add_argument("--interrupted", type=int, default=1_000, help="operations that are killed")
    parser.add_argument("--rounds", type=int, default=3, help="starts; the median counts")
    return parser.parse_args()


if __name__ == "__main__":
    main()
