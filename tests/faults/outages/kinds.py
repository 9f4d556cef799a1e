# SPDX-License-Identifier: Apache-2.0
"""Each kind of outage: its beginning, its end, and its log lines."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.places import Mount
from tests.faults.outages.proxy import Link
from tests.servers import Broker, Process, Server

BUS_BACK = r"message bus is back after ([\d.]+) s"
DATABASE_BACK = r"database back after ([\d.]+) s"
JOURNAL_BACK = r"journal is back after ([\d.]+) s"


@dataclass(eq=False)
class Outage:
    """One kind of fault.

    :param told: the one line of the log that gives its length; None where the
        service has no part in it.
    :param begun: when it began the last time, by the monotonic clock.
    """

    name: str
    start: Callable[[], object]
    end: Callable[[], object]
    told: str | None = None
    begun: float = 0.0

    @contextmanager
    def during(self) -> Iterator[None]:
        """Have the fault while the block runs."""
        self.begun = time.monotonic()
        self.start()
        try:
            yield
        finally:
            self.end()

    def last(self, seconds: float) -> None:
        """Have the fault for a time."""
        with self.during():
            time.sleep(seconds)


def broker_stopped(broker: Broker) -> Outage:
    """RabbitMQ is stopped in order; its node and durable queues stay."""
    return Outage("RabbitMQ stopped", broker.stop, broker.start, BUS_BACK)


def broker_restarted(broker: Broker) -> Outage:
    """RabbitMQ's node is killed, as by a power cut, and started again."""
    return Outage("RabbitMQ's node killed", broker.kill, broker.start, BUS_BACK)


def broker_frozen(broker: Broker) -> Outage:
    """RabbitMQ hangs: connections stay, nothing moves."""
    return Outage("RabbitMQ frozen", broker.freeze, broker.thaw)


def link_cut(link: Link) -> Outage:
    """The network between service and broker is gone."""
    return Outage("connection to RabbitMQ cut", link.cut, link.mend, BUS_BACK)


def link_slow(link: Link, delay: float) -> Outage:
    """Each packet between service and broker takes its time."""

    def hold_up(seconds: float) -> None:
        link.delay = seconds

    name = f"RabbitMQ slow ({delay * 1000:.0f} ms)"
    return Outage(name, lambda: hold_up(delay), lambda: hold_up(0.0))


def database_stopped(server: Server) -> Outage:
    """The database server is stopped in order and started again."""
    return Outage(f"{server.name} stopped", server.stop, server.start, DATABASE_BACK)


def database_frozen(server: Server) -> Outage:
    """The database server hangs: connections stay, answers do not come."""
    return Outage(f"{server.name} frozen", server.freeze, server.thaw)


def disk_full(disk: SmallDisk, whose: str, told: str | None) -> Outage:
    """The filesystem of something is full."""
    return Outage(f"disk full: {whose}", disk.fill, disk.free, told)


def descriptors_used_up(process: Process) -> Outage:
    """The service may open no more files or connections."""
    limits: dict[int, tuple[int, int]] = {}

    def take() -> None:
        for pid in process.family():
            limits[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            # Descriptors that are open stay open; no new one fits below the limit.
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[pid][1]))

    def give() -> None:
        for pid, limit in limits.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)

    return Outage("file descriptors used up", take, give)


class SmallDisk:
    """A filesystem in memory that is soon full.

    :param place: an empty directory; root alone can mount there.
    """

    def __init__(self, place: Path, mebibytes: int) -> None:
        self.place = place
        self._ballast = place / "ballast"
        place.mkdir(parents=True, exist_ok=True)
        options = f"size={mebibytes}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)
        self._mount = Mount(place)

    @staticmethod
    def possible() -> bool:
        """Say whether we may mount at all."""
        return os.geteuid() == 0

    def fill(self) -> None:
        """Leave no free byte."""
        with self._ballast.open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        if not ballast.write(b"\0" * size):
                            break

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it, also while files in it are open."""
        self._mount.close()
