# SPDX-License-Identifier: Apache-2.0
"""Latency of calls beside casts that take long.

Starts RabbitMQ, MariaDB and one process of the service, and measures how long
``initialize_connection`` takes for its caller: while nothing else runs, beside 200 creations
that wait in their driver, beside 50 data transfers, and beside 50 creations whose image service
does not answer. Prints a table; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import oslo_messaging  # noqa: E402, I001 - after bench, which keeps eventlet out of the process
import sqlalchemy as sa  # noqa: E402

from bench.workload import load  # noqa: E402
from bench.workload.blocking import VARIABLE, BlockingDriver, Gate  # noqa: E402
from drivers.image.directory import DirectoryImages  # noqa: E402
from tests.servers import Servers, until  # noqa: E402
from worker.db import models  # noqa: E402
from worker.db.database import Database  # noqa: E402
from worker.db.records import Records  # noqa: E402
from worker.journal.journal import Journal  # noqa: E402
from worker.rpc import objects  # noqa: E402

GOAL_MS = 100.0
CREATIONS = 200
TRANSFERS = 50
IMAGES = 50
CONNECTOR = {"host": "compute1", "ip": "192.0.2.1", "initiator": "iqn.2026-01.org.example:1"}
IMAGE = "00000000-0000-0000-0000-00000000beef"
_CHUNK = bytes(1 << 20)
_PAUSE = 0.25
"""Seconds between two chunks of a transfer: each moves 4 MiB/s, as over a busy network."""


class Driver(BlockingDriver):
    """Creations wait at the gate; migrations move data until it opens."""

    def migrate_volume(self, context: Any, volume: Any, host: Any) -> Any:
        """Read chunks and hash them."""
        gate = Path(os.environ[VARIABLE])
        (gate / "arrived" / volume.id).touch()
        while (gate / "closed").exists():
            hashlib.sha256(_CHUNK)
            time.sleep(_PAUSE)
        return True, None


class Images(DirectoryImages):
    """An image service that does not answer while the gate is closed."""

    def show(self, context: Any, image_id: str) -> Any:
        """Wait at the gate."""
        gate = Path(os.environ[VARIABLE])
        while (gate / "closed").exists():
            time.sleep(0.1)
        return super().show(context, image_id)


class Calls(load.Setting):
    """The service, and callers of it."""

    def __init__(self, folder: Path, bus: str, database: str, **others: Any) -> None:
        super().__init__(folder, bus, database, **others)
        self._rows = Records(Database(database))

    def measure(self, count: int) -> list[float]:
        """Connect a volume again and again; return the milliseconds of each call, in order."""
        (volume_id,) = self.insert(1, status="available")
        client, args = self._client.prepare(timeout=60), self._args(volume_id)
        context = self._samples["create_volume"].context
        taken = []
        for _ in range(count):
            began = time.monotonic()
            with contextlib.suppress(oslo_messaging.MessagingTimeout):
                client.call(context, "initialize_connection", **args, connector=CONNECTOR)
            taken.append((time.monotonic() - began) * 1e3)
        return sorted(taken)

    def create(self, count: int, image: str | None = None) -> list[str]:
        """Cast creations, empty ones or from an image."""
        ids = self.insert(count, status="creating")
        for volume_id in ids:
            args = self._samples["create_volume"].args(volume_id, volume_id)
            if image is not None:
                args |= {"request_spec": {"image_id": image}, "filter_properties": None}
            self._client.cast(self._samples["create_volume"].context, "create_volume", **args)
        return ids

    def migrate(self, count: int) -> list[str]:
        """Cast migrations, which move data."""
        ids = self.insert(count, status="available")
        starting = sa.update(models.volumes).where(models.volumes.c.id.in_(ids))
        with self._engine.connect() as connection:
            connection.execute(starting.values(migration_status="starting"))
        host = {"host": "elsewhere@b#p", "cluster_name": None}
        for volume_id in ids:
            args = {**self._args(volume_id), "host": host, "force_host_copy": False}
            client = self._client.prepare(version="3.5")
            client.cast(self._samples["create_volume"].context, "migrate_volume", **args)
        return ids

    def accepted(self, count: int) -> None:
        """Wait until so many operations that have not ended are in the journal."""
        ended = ("SUCCESS", "REVERTED", "FAILURE")
        journal = Journal(f"sqlite:///{self.journal}")

        def unfinished() -> int:
            return sum(entry.state not in ended for entry in journal.entries(limit=10_000))

        until(lambda: unfinished() == count, 120, f"{count} operations in the journal")
        journal.close()

    def _args(self, volume_id: str) -> dict[str, Any]:
        return {"volume": objects.volume(self._rows.volumes.get(volume_id))}


def main() -> None:
    """Measure each situation and print the figures."""
    options = _options()
    with Servers() as servers, tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        gate = Gate(Path(folder) / "gate")
        settings = {"image_service": "bench.calls.Images"}
        setting = Calls.prepare(
            servers, Path(folder), driver="bench.calls.Driver", options=settings
        )
        with setting.service(processes=1) as service:
            figures = _figures(setting, gate, options.calls)
            service.kill()
    _show(figures)
    print(json.dumps(figures))


def _figures(setting: Calls, gate: Gate, count: int) -> dict[str, float]:
    situations: dict[str, Callable[[], list[str]]] = {
        "idle": list,
        "creations": lambda: setting.create(CREATIONS),
        "transfers": lambda: setting.migrate(TRANSFERS),
        "images": lambda: setting.create(IMAGES, IMAGE),
    }
    figures = {}
    setting.measure(20)  # connections, compiled statements
    for name, begin in situations.items():
        gate.close()
        setting.accepted(len(begin()))
        taken = setting.measure(count)
        gate.open()
        figures[f"{name}_p50_ms"] = taken[len(taken) // 2]
        figures[f"{name}_p99_ms"] = taken[min(len(taken) - 1, len(taken) * 99 // 100)]
        setting.accepted(0)
    return figures


def _show(figures: dict[str, float]) -> None:
    print(f"{'calls beside':<14}{'p50 ms':>10}{'p99 ms':>10}{'goal':>8}")
    for name in dict.fromkeys(key.partition("_")[0] for key in figures):
        p50, p99 = figures[f"{name}_p50_ms"], figures[f"{name}_p99_ms"]
        verdict = "met" if p99 <= GOAL_MS else "missed"
        print(f"{name:<14}{p50:>10.1f}{p99:>10.1f}{verdict:>8}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench calls", description=__doc__)
    parser.add_argument("--calls", type=int, default=300, help="calls in each situation")
    return parser.parse_args()


if __name__ == "__main__":
    main()
