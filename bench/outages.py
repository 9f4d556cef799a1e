# SPDX-License-Identifier: Apache-2.0
"""The cost of each kind of fault: its duration, and the slowdown of work.

Starts RabbitMQ, MariaDB and the service by itself and casts creations at a steady
rate; in the middle comes the fault. Prints for each kind how long it lasted, how long
after its end everything that had been cast was done, and how long a cast took before
and after it. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from worker.compat import native_threads  # noqa: E402, F401, I001 - first, before anything of oslo
import sqlalchemy as sa  # noqa: E402
from oslo_config import cfg  # noqa: E402

from tests.faults.outages import kinds  # noqa: E402
from tests.faults.outages.kinds import Outage, SmallDisk  # noqa: E402
from tests.faults.outages.proxy import Link  # noqa: E402
from tests.functional.cloud import Cloud  # noqa: E402
from tests.functional.service import Service  # noqa: E402
from tests.servers import Servers, until  # noqa: E402
from worker.db import models  # noqa: E402
from worker.rpc import transport  # noqa: E402

_PATIENCE = 120.0
_DURABLE = "amqp_durable_queues"


class Stand:
    """One service between servers, whose bus can be cut."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.servers = servers
        self.link = Link(servers.broker.port)
        bus = servers.broker.vhost()
        through = bus.replace(f":{servers.broker.port}/", f":{self.link.port}/")
        self.disk = SmallDisk(folder / "journal", 64) if SmallDisk.possible() else None
        journal = (self.disk.place if self.disk else folder) / "journal.sqlite"

        def service(**options: Any) -> Service:
            return Service(folder / "service", **{**options, "bus": through})

        self.cloud = Cloud(
            service,
            bus,
            servers.mariadb.database(),
            folder,
            oslo_messaging_rabbit={_DURABLE: True},
            journal={"connection": f"sqlite:///{journal}"},
            DEFAULT={"debug": False},
        )
        self.cloud.service.start()

    def faults(self) -> Iterator[Outage]:
        """Yield every kind of fault."""
        broker, database = self.servers.broker, self.servers.mariadb
        process = self.cloud.service.process
        assert process is not None
        yield kinds.link_cut(self.link)
        yield kinds.link_slow(self.link, 0.2)
        yield kinds.broker_stopped(broker)
        yield kinds.broker_restarted(broker)
        yield kinds.broker_frozen(broker)
        yield kinds.database_stopped(database)
        yield kinds.database_frozen(database)
        if self.disk is not None:
            yield kinds.disk_full(self.disk, "the journal's", None)
        yield kinds.descriptors_used_up(process)
        yield Outage("service killed", self.cloud.service.kill, self.cloud.service.start)

    def close(self) -> None:
        """End everything."""
        self.cloud.service.close()
        self.cloud.close()
        self.link.cut()
        if self.disk is not None:
            self.disk.close()


class Stream:
    """Creations at a steady rate, and when each was done."""

    def __init__(self, cloud: Cloud, rate: float, rows: int) -> None:
        self._cloud = cloud
        self._pause = 1 / rate
        self._records = iter([cloud.volume() for _ in range(rows)])
        self.sent: dict[str, float] = {}
        self.done: dict[str, float] = {}
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._send, self._watch)]

    def start(self) -> None:
        """Begin to cast and to watch."""
        for thread in self._threads:
            thread.start()

    def stop_sending(self) -> None:
        """Cast no more."""
        self._enough.set()
        self._threads[0].join(_PATIENCE)

    def took(self, begin: float, end: float) -> list[float]:
        """Return how long those took, in ms, that were cast in this time."""
        return [
            (self.done[one] - at) * 1e3
            for one, at in self.sent.items()
            if begin <= at < end and one in self.done
        ]

    def _send(self) -> None:
        due = time.monotonic()
        for record in self._records:
            if self._enough.is_set():
                return
            self.sent[record.id] = time.monotonic()
            self._cloud.cast("create_volume", volume=record)
            due += self._pause
            time.sleep(max(0.0, due - time.monotonic()))

    def _watch(self) -> None:
        columns = models.volumes.c
        while not self._enough.is_set() or len(self.done) < len(self.sent):
            open_ones = [one for one in list(self.sent) if one not in self.done]
            made = sa.select(columns.id).where(
                columns.id.in_(open_ones), columns.status == "available"
            )
            try:
                with self._cloud.database.reader() as connection:
                    found = connection.scalars(made).all()
            except Exception:  # noqa: BLE001 - the database is what may be away
                found = []
            self.done.update(dict.fromkeys(found, time.monotonic()))
            time.sleep(0.005)


def measure(stand: Stand, outage: Outage, options: argparse.Namespace) -> dict[str, float]:
    """Inject one fault in the middle of a stream and measure its cost."""
    calm, length = options.calm, options.length
    stream = Stream(stand.cloud, options.rate, int(options.rate * (2 * calm + length) * 2))
    stream.start()
    began = time.monotonic()
    time.sleep(calm)
    fault = time.monotonic()
    outage.last(length)
    over = time.monotonic()
    until(
        lambda: all(one in stream.done for one, at in list(stream.sent.items()) if at < over),
        _PATIENCE,
        f"what was cast before the end of: {outage.name}",
    )
    back = time.monotonic()
    time.sleep(calm)
    stream.stop_sending()
    until(lambda: len(stream.done) == len(stream.sent), _PATIENCE, "everything")
    before = statistics.median(stream.took(began + calm / 4, fault - 0.5))
    during = stream.took(fault - 0.5, over)  # one that was being sent hangs as well
    after = statistics.median(stream.took(back + calm / 4, time.monotonic()))
    worst = max(during or [0.0])
    return {
        "lasted_s": over - fault,
        "recovery_s": back - over,
        "p50_before_ms": before,
        "worst_ms": worst,
        "slower_ms": worst - before,
        "slower_times": worst / before,
        "p50_after_ms": after,
        "lost": float(len(stream.sent) - len(stream.done)),
    }


@contextmanager
def _stand() -> Iterator[Stand]:
    transport.register_opts(cfg.CONF)
    cfg.CONF.set_override(_DURABLE, True, group="oslo_messaging_rabbit")
    with tempfile.TemporaryDirectory(prefix="hfo-") as name, Servers() as servers:
        stand = Stand(servers, Path(name))
        try:
            yield stand
        finally:
            stand.close()


_HEADS = (
    ("lasted s", "lasted_s"),
    ("recovery s", "recovery_s"),
    ("before ms", "p50_before_ms"),
    ("worst ms", "worst_ms"),
    ("slower x", "slower_times"),
    ("after ms", "p50_after_ms"),
    ("lost", "lost"),
)


def main() -> None:
    """Measure every fault and print the table."""
    options = _options()
    figures: dict[str, dict[str, float]] = {}
    print(f"{'fault':<30}" + "".join(f"{head:>12}" for head, _key in _HEADS), flush=True)
    with _stand() as stand:
        for outage in stand.faults():
            if options.only not in outage.name:
                continue
            found = measure(stand, outage, options)
            figures[outage.name] = {key: round(value, 2) for key, value in found.items()}
            shown = "".join(f"{found[key]:>12.1f}" for _head, key in _HEADS)
            print(f"{outage.name:<30}{shown}", flush=True)
    print(json.dumps(figures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=float, default=10, help="seconds of each fault")
    parser.add_argument("--calm", type=float, default=6, help="seconds before and after it")
    parser.add_argument("--rate", type=float, default=20, help="casts a second")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    return parser.parse_args()


if __name__ == "__main__":
    main()
