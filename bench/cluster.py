# SPDX-License-Identifier: Apache-2.0
"""Several hosts on one queue: casts per second, the price of a shared journal, an idle host.

Hosts are network namespaces of this machine, each with one process. Starts RabbitMQ, MariaDB
and Redis by itself; needs root. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from worker.compat import native_threads  # noqa: E402, F401, I001 - first, before anything of oslo
import pymysql  # noqa: E402
import sqlalchemy as sa  # noqa: E402
from bench.measurements.machine import cpu  # noqa: E402
from tests.cluster.rig.setting import Kinds, Setting  # noqa: E402
from tests.cluster.rig.world import CLUSTER, Shape, World  # noqa: E402
from tests.servers import until  # noqa: E402
from tests.servers.several import network  # noqa: E402

DRIVER = {"volume_driver": "noop"}
LOCAL = {"connection": "sqlite:///$state_path/journal.sqlite"}
COUNTED = ("Com_select", "Com_insert", "Com_update", "Com_delete", "Com_commit", "Com_rollback")
"""Counters of MariaDB. Those of a shared journal are the difference to a local one."""
PATIENCE = 180.0
"""Seconds for all creations of a round."""


def main() -> None:
    """Measure and print."""
    options = _options()
    if reason := network.missing() or ", ".join(Kinds().missing()):
        sys.exit(f"bench cluster: {reason}")
    figures: dict[str, float] = {}
    for count in options.hosts:
        figures |= _shared(count, options)
    figures |= _one_host("local_journal", LOCAL, options)
    figures |= _one_host("shared_journal", {}, options)
    price = figures["shared_journal_cpu_ms"] - figures["local_journal_cpu_ms"]
    figures["price_cpu_ms_per_create"] = round(price, 2)
    for kind in (*COUNTED, "Questions"):
        difference = figures[f"shared_journal_{kind}"] - figures[f"local_journal_{kind}"]
        figures[f"journal_{kind}_per_create"] = round(difference, 1)
    for name, value in figures.items():
        print(f"{name:<32}{value:>10}")
    print(json.dumps(figures))


def _shared(hosts: int, options: argparse.Namespace) -> dict[str, float]:
    """Casts per second of some hosts of a cluster, and the statements of each while idle."""
    with Setting(Kinds()) as setting, World(setting, _shape(hosts, CLUSTER, {})) as world:
        world.start()
        idle = _statements(world, options.idle)
        _round(world, options.warm_up)
        rounds = [_round(world, options.count) for _ in range(options.rounds)]
    return {
        f"casts_per_s_{hosts}": round(statistics.median(one for one, _cpu in rounds), 1),
        f"idle_statements_per_s_{hosts}": round(idle, 1),
    }


def _one_host(
    name: str, journal: Mapping[str, Any], options: argparse.Namespace
) -> dict[str, float]:
    """Processor time of one host for each creation, with its journal in one place or another.

    A host without a cluster; its leases are those of the shared journal, if it is shared.
    """
    with Setting(Kinds()) as setting, World(setting, _shape(1, "", journal)) as world:
        world.start()
        _round(world, options.warm_up)
        before = _counters(world)
        rounds = [_round(world, options.count) for _ in range(options.rounds)]
        after = _counters(world)
    creates = options.count * options.rounds
    counted = {
        f"{name}_{kind}": round((after[kind] - before[kind]) / creates, 1)
        for kind in (*COUNTED, "Questions")
    }
    return {
        **counted,
        f"{name}_cpu_ms": round(statistics.median(used for _casts, used in rounds), 2),
        f"{name}_casts_per_s": round(statistics.median(casts for casts, _used in rounds), 1),
    }


def _shape(hosts: int, cluster: str, journal: Mapping[str, Any]) -> Shape:
    return Shape(
        hosts=hosts,
        cluster=cluster,
        backups=False,
        forked=False,
        lease=journal,
        backend=DRIVER,
        options={"debug": "false", "report_interval": 10},
    )


def _round(world: World, count: int) -> tuple[float, float]:
    """Create volumes; return casts per second, and milliseconds of processor time for each."""
    cloud = world.cloud
    rows = [cloud.volume() for _ in range(count)]
    ids = [row.id for row in rows]
    before, began = _used(world), time.monotonic()
    for number, row in enumerate(rows):
        cloud.send(f"req-{number}", "create_volume", volume=row)
    until(lambda: _ended(world, ids) >= count, PATIENCE, f"{count} creations")
    seconds = time.monotonic() - began
    return count / seconds, (_used(world) - before) / count * 1e3


def _ended(world: World, ids: Sequence[str]) -> int:
    table = sa.table("volumes", sa.column("id"), sa.column("status"))
    query = sa.select(sa.func.count()).where(table.c.id.in_(ids), table.c.status != "creating")
    time.sleep(0.05)
    return int(world.cloud.database.read(lambda c: c.execute(query).scalar_one()))


def _used(world: World) -> float:
    return sum(cpu(pid) for host in world for pid in host.pids())


def _statements(world: World, seconds: float) -> float:
    """Return the statements per second that each idle host sends to the database."""
    time.sleep(3)  # background work of a start
    before, began = _counters(world)["Questions"], time.monotonic()
    time.sleep(seconds)
    found = (_counters(world)["Questions"] - before - 1) / (time.monotonic() - began)
    return found / len(world.hosts)


def _counters(world: World) -> dict[str, int]:
    """Return the statements that the database has executed, by their kinds."""
    server = world.setting.database
    with pymysql.connect(host=server.place.address, port=server.port, user="root") as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW GLOBAL STATUS")
        found = dict(cursor.fetchall())
    return {kind: int(found[kind]) for kind in (*COUNTED, "Questions")}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench cluster", description=__doc__.split("\n")[0])
    parser.add_argument("--hosts", type=_numbers, default="1,2,4", help="default: 1,2,4")
    parser.add_argument("--count", type=int, default=400, help="creations of a round")
    parser.add_argument("--warm-up", type=int, default=50, help="creations before the first round")
    parser.add_argument("--rounds", type=int, default=3, help="the median counts")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds without work")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


if __name__ == "__main__":
    main()
