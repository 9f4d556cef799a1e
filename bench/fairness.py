# SPDX-License-Identifier: Apache-2.0
"""Wait of one project's creations while another project floods the service with casts.

Starts RabbitMQ, MariaDB and one process of the service with a driver whose creations take some
time. One project casts thousands of creations at once; another casts one creation at a time, the
first one right behind the flood, and each next one when the one before it has ended. Prints the
wait from the cast to the begin of the driver's call. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import sqlalchemy as sa  # noqa: E402, I001 - after bench, which keeps eventlet out of the process

from bench.workload import load  # noqa: E402
from drivers.volume.noop import NoopDriver  # noqa: E402
from tests.servers import Servers, until  # noqa: E402
from worker.db import models  # noqa: E402

FLOODING = "f100d000000000000000000000000000"
GOAL_S = 1.0
VARIABLE = "HOLDFAST_BENCH_FAIRNESS"


class Driver(NoopDriver):
    """Creations take some time, and note when they begin."""

    def create_volume(self, volume: Any) -> None:
        """Note the time, and wait."""
        folder, _, seconds = os.environ[VARIABLE].partition(":")
        if volume.project_id != FLOODING:
            (Path(folder) / volume.id).write_text(str(time.time()))
        time.sleep(float(seconds))


class Flood(load.Setting):
    """A project that casts thousands of creations, and another that casts some."""

    def flood(self, count: int) -> list[str]:
        """Cast creations of a project of their own, as fast as the bus takes them."""
        ids = self.insert(count, status="creating")
        rows = sa.update(models.volumes).where(models.volumes.c.id.in_(ids))
        with self._engine.connect() as connection:
            connection.execute(rows.values(project_id=FLOODING, use_quota=False))
        sample = self._samples["create_volume"]
        project = sample.context["project_id"]
        context = json.loads(json.dumps(sample.context).replace(project, FLOODING))
        for volume_id in ids:
            text = json.dumps(sample.args(volume_id, volume_id)).replace(project, FLOODING)
            self._client.cast(context, "create_volume", **json.loads(text))
        return ids

    def left(self, ids: list[str]) -> int:
        """Return how many of the flood have not ended."""
        columns = models.volumes.c
        query = sa.select(sa.func.count()).where(
            columns.project_id == FLOODING, columns.status == "creating"
        )
        with self._engine.connect() as connection:
            return int(connection.scalar(query) or 0)


def main() -> None:
    """Flood, measure and print the figures."""
    options = _options()
    with Servers() as servers, tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        begun = Path(folder) / "begun"
        begun.mkdir()
        os.environ[VARIABLE] = f"{begun}:{options.seconds}"
        setting = Flood.prepare(
            servers, Path(folder), driver="bench.fairness.Driver", options=_lines(options.option)
        )
        with setting.service(processes=1) as service:
            figures = _measure(setting, service, begun, options)
            service.kill()
    _show(figures)
    print(json.dumps(figures))


def _measure(
    setting: Flood, service: Any, begun: Path, options: argparse.Namespace
) -> dict[str, float]:
    setting.cast_all("create_volume", setting.insert(20, status="creating"))
    before = service.pss_mib()
    began, cpu = time.monotonic(), service.cpu_seconds()
    ids = setting.flood(options.count)
    sent = time.monotonic() - began
    waits = [_wait(setting, begun) for _ in range(options.creations)]
    figures = {
        "flood": options.count,
        "flood_sent_s": sent,
        "first_wait_s": waits[0],
        "p50_wait_s": sorted(waits)[len(waits) // 2],
        "max_wait_s": max(waits),
        "left_of_flood": setting.left(ids),
        "before_pss_mib": before,
        "flooded_pss_mib": service.pss_mib(),
    }
    if options.drain:
        until(lambda: not setting.left(ids), 3600, "the end of the flood")
        figures["flood_s"] = time.monotonic() - began
        figures["cpu_ms_per_create"] = (service.cpu_seconds() - cpu) / options.count * 1e3
    return figures


def _wait(setting: Flood, begun: Path) -> float:
    """Return the seconds from the cast of a creation to its begin in the driver."""
    (volume_id,) = setting.insert(1, status="creating")
    at = time.time()
    setting.cast("create_volume", volume_id)
    setting.wait_done("create_volume", [volume_id], every=0.01)
    return float((begun / volume_id).read_text()) - at


def _lines(options: list[str]) -> dict[str, Any]:
    return dict(one.split("=", 1) for one in options)


def _show(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        print(f"{name:<20}{value:>10.2f}")
    verdict = "met" if figures["max_wait_s"] <= GOAL_S else "missed"
    print(f"the goal of {GOAL_S:.0f} s is {verdict}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench fairness", description=__doc__)
    add = parser.add_argument
    add("--count", type=int, default=5000, help="casts of the flood")
    add("--creations", type=int, default=20, help="creations of the other project")
    add("--seconds", type=float, default=2.0, help="that a creation takes in the driver")
    add("--drain", action="store_true", help="wait for the end of the flood, and print its cost")
    add("--option", action="append", default=[], metavar="NAME=VALUE", help="of [DEFAULT]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
