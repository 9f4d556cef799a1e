# SPDX-License-Identifier: Apache-2.0
"""Mixed load for an hour while processes of the service are killed every few seconds.

Starts RabbitMQ, MariaDB and the service with the local driver, and kills one of its
processes at random moments; one is spared for the whole time, so that growth in
a process can be seen as well as the remains of kills. At the end everything
drains and is compared: casts, statuses, the journal, quota, the backend's directory.
Writes a table, a plot and a page; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from worker.compat import native_threads  # noqa: E402, F401  # isort: skip

from bench.measurements import samples, soaked  # noqa: E402
from bench.measurements.samples import Footprint, JournalFile, Sample  # noqa: E402
from bench.workload.traffic import HOST, NODE, POOL, Traffic  # noqa: E402
from tests.functional.service import Service  # noqa: E402
from tests.servers import Servers, until  # noqa: E402
from worker.db import sync  # noqa: E402
from worker.db.database import Database  # noqa: E402

_GIB = 1024**3
_BURST = 12  # operations that begin just before a kill, so that it cuts some short
_DRAIN = 180.0  # seconds for running operations to end after the last kill
_SAMPLE_EVERY, _LOOK_EVERY = 5.0, 0.25  # seconds


class Soak:
    """The service under load, its killer and its observer."""

    def __init__(self, servers: Servers, folder: Path, options: argparse.Namespace) -> None:
        self._options = options
        self._chance = random.Random(options.seed)
        self.bus, url = servers.broker.vhost(), servers.mariadb.database()
        self._database = Database(url)
        sync.sync(self._database)
        self._service = Service(
            folder / "service",
            bus=self.bus,
            database=url,
            backends={
                POOL: {
                    "volume_driver": "local",
                    "volume_backend_name": POOL,
                    "local_path": folder / "volumes",
                    "local_path_shared": True,  # the workload connects as another host
                    "processes": options.processes,
                }
            },
            # Ended operations are forgotten at the next pruning, every ten minutes: kept for a
            # day, as by default, the journal would grow through the whole hour.
            sections={"DEFAULT": {"debug": False}, "journal": {"keep_finished": 0}},
        )
        self._volumes = folder / "volumes"
        self._journal = JournalFile(self._service.directory / "state" / "journal.sqlite")
        self.traffic = Traffic(self.bus, self._database, self._chance, options.volumes)
        self.samples: list[Sample] = []
        self.kills = 0
        self._killed = Footprint()
        self._spared = 0
        self._began = 0.0

    def run(self) -> None:
        """Load, kill and watch until the time is over."""
        self._service.start()
        until(lambda: len(self._service.children()) >= self._options.processes, 60, "processes")
        self._spared = min(self._service.children())
        self._wait_for_queue()
        self._began = now = time.monotonic()
        end = now + self._options.minutes * 60
        kill, sample, look, burst = now + self._pause(), now, now, now
        while (now := time.monotonic()) < end:
            if now >= look:
                self.traffic.settle()
                look = now + _LOOK_EVERY
            if now >= burst:
                self._load(1)
                burst = now + self._chance.expovariate(self._options.rate)
            if now >= kill:
                self._kill()
                kill = now + self._pause()
            if now >= sample:
                self._sample(now)
                sample = now + _SAMPLE_EVERY
            time.sleep(max(0.0, min(look, burst, kill, sample) - time.monotonic()))

    def drain(self) -> dict[str, Any]:
        """Wait for the end of everything, then compare; return the differences."""
        deadline = time.monotonic() + _DRAIN
        while not self._is_quiet() and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY)
            self.traffic.settle()
        unfinished = self._journal.unfinished()
        waiting = self.traffic.casts_under_way()
        known = [t for t in waiting if any(t.record.id in text for text in unfinished)]
        leaked = self._leaked()
        calls = self.traffic.calls_under_way()
        for thing in [*waiting, *calls]:
            print("not ended:", thing.record.kind, thing.record.id, thing.doing)
        for text in [*unfinished, *leaked, f"quota {self.traffic.quota_error()}"]:
            print("left:", text)
        return {
            "lost": len(waiting) - len(known),
            "stuck": len(unfinished) + len(calls),
            "leaked": len(leaked),
            "quota_off": len(self.traffic.quota_error()),
        }

    def resumed(self) -> int:
        """Return the number of resumed operations, from the log."""
        found = re.findall(r"(\d+) interrupted operations resume", self._service.text())
        return sum(int(number) for number in found)

    def close(self) -> None:
        """End the service."""
        self.traffic.close()
        with contextlib.suppress(Exception):
            self._service.stop()
        self._service.close()
        self._database.dispose()

    def _load(self, operations: int) -> None:
        under_way = len(self.traffic.casts_under_way())
        for _ in range(min(operations, self._options.backlog - under_way)):
            self.traffic.step()

    def _kill(self) -> None:
        victims = [pid for pid in self._service.children() if pid != self._spared]
        if not victims:
            return
        if self._chance.random() < 0.5:
            self._load(_BURST)
            time.sleep(self._chance.random() * 0.1)
        victim = self._chance.choice(victims)
        self._killed = Footprint.of(victim)
        os.kill(victim, signal.SIGKILL)
        self.kills += 1

    def _pause(self) -> float:
        mean = self._options.kill_every
        return self._chance.uniform(0.6 * mean, 1.6 * mean - 0.2 * mean)

    def _sample(self, now: float) -> None:
        spared, parent = Footprint.of(self._spared), Footprint.of(self._parent())
        entries, unfinished = self._journal.counts()
        self.samples.append(
            Sample(
                minutes=(now - self._began) / 60,
                spared_rss_mib=spared.rss_mib,
                spared_pss_mib=spared.pss_mib,
                spared_fds=spared.fds,
                spared_threads=spared.threads,
                parent_rss_mib=parent.rss_mib,
                parent_fds=parent.fds,
                parent_threads=parent.threads,
                killed_rss_mib=self._killed.rss_mib,
                killed_fds=self._killed.fds,
                killed_threads=self._killed.threads,
                journal_kib=self._journal.kib(),
                journal_entries=entries,
                journal_unfinished=unfinished,
                files=sum(1 for _ in self._files()),
                rows=len(self.traffic.expected_files()),
                queue=self._queued(),
                operations=self.traffic.begun(),
                kills=self.kills,
            )
        )
        if len(self.samples) % 12 == 1:
            print(self.samples[-1], dict(self.traffic.failed), flush=True)

    def _parent(self) -> int:
        assert self._service.process is not None
        return self._service.process.pid

    def _files(self) -> Iterator[os.DirEntry[str]]:
        return (entry for entry in os.scandir(self._volumes) if entry.is_file())

    def _leaked(self) -> list[str]:
        """Return differences between the directory and the database."""
        found = {entry.name: entry.stat().st_size for entry in self._files()}
        wanted = {name: size * _GIB for name, size in self.traffic.expected_files().items()}
        names = sorted(found.keys() | wanted.keys())
        return [
            f"{name}: {found.get(name)} bytes, {wanted.get(name)} expected"
            for name in names
            if found.get(name) != wanted.get(name)
        ]

    def _is_quiet(self) -> bool:
        busy = self.traffic.casts_under_way() or self.traffic.calls_under_way()
        return not busy and not self._queued() and not self._journal.counts()[1]

    def _wait_for_queue(self) -> None:
        def consumed() -> bool:
            with contextlib.suppress(Exception):
                return self._consumers() >= self._options.processes
            return False

        until(consumed, 60, f"{self._options.processes} consumers")

    def _queued(self) -> int:
        return sum(self._declared(name).message_count for name in _queues())

    def _consumers(self) -> int:
        return min(self._declared(name).consumer_count for name in _queues())

    def _declared(self, name: str) -> Any:
        with kombu.Connection(self.bus.replace("rabbit://", "amqp://")) as connection:
            return connection.default_channel.queue_declare(name, passive=True)


def main() -> int:
    """Run, drain, write the results."""
    options = _options()
    print(f"seed {options.seed}", flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="holdfast-soak-") as name, Servers() as servers:
        soak = Soak(servers, Path(name), options)
        try:
            soak.run()
            verdict = soak.drain()
            resumed = soak.resumed()
        finally:
            soak.close()
            log = Path(name) / "service" / "log"
            if log.exists():
                (options.output / "service.log").write_bytes(log.read_bytes())
    figures = soaked.figures(soak.samples, verdict, resumed, soak.traffic)
    samples.write_table(options.output / "soak.csv", soak.samples)
    soaked.draw(options.output / "soak.svg", soak.samples)
    (options.output / "failed.json").write_text(json.dumps(dict(soak.traffic.failed), indent=1))
    print(dict(soak.traffic.counts), dict(soak.traffic.failed))
    print(json.dumps(figures))
    return 1 if any(verdict.values()) else 0


def _queues() -> tuple[str, str]:
    return f"cinder-volume.{HOST}", f"cinder-volume.{HOST}.{NODE}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--kill-every", type=float, default=5, help="seconds on average")
    parser.add_argument("--rate", type=float, default=8, help="operations a second")
    parser.add_argument("--processes", type=int, default=3, help="one of them is spared")
    parser.add_argument("--volumes", type=int, default=60, help="at most")
    parser.add_argument("--backlog", type=int, default=60, help="operations under way at most")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--output", type=Path, default=Path("soak"), help="directory")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
