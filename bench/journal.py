# SPDX-License-Identifier: Apache-2.0
"""Processor time of the journal per operation.

Runs a flow of five steps that do nothing, in this process, again and again: in
memory; with the journal, as the service runs it (accepted durably, progress at
each boundary, finished), on a server also with a lease, which each transaction proves; and with
taskflow's own SQL persistence unchanged. Prints
processor time, which does not depend on other load of the machine, as waiting for
a disk does. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from flows.factories import registered

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from worker.compat import native_threads  # noqa: E402, F401, I001 - first, before anything of oslo
from taskflow import engines  # noqa: E402
from taskflow.flow import Flow  # noqa: E402
from taskflow.patterns import linear_flow  # noqa: E402
from taskflow.persistence import backends, models  # noqa: E402

from flows.engine import flow_run  # noqa: E402
from flows.claims import Claim  # noqa: E402
from flows.context import VolumeServiceContext  # noqa: E402
from flows.lifecycle import Step  # noqa: E402
from tests.servers import Servers  # noqa: E402
from worker.journal.journal import Journal  # noqa: E402
from worker.journal.slots.ownership import Holder  # noqa: E402
from worker.rpc.request_context import RequestContext  # noqa: E402
from worker.rpc.operation import Operation  # noqa: E402

STEPS = 5
BACKEND_STEP = "step_1"
"""The one that waits for the disk."""
GOAL_MS = 3.0
FENCE_GOAL_MS = 1.0
SLOT = "host@backend/0"
_NOTHING: dict[str, Any] = {field.name: None for field in fields(VolumeServiceContext)}
# No step reads any of the fields.
CONTEXT = VolumeServiceContext(**{**_NOTHING, "stopping": threading.Event()})

Once = Callable[[], None]


class Nothing(Step):
    """Does nothing and leaves a small result, as most steps do.

    One of them waits for the disk before it begins, as the step with the driver's call.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.bookkeeping = name != BACKEND_STEP

    def claim(self, args: Mapping[str, Any]) -> Claim:
        """Claim a volume; its row is read in resumed flows only."""
        return Claim("volume", "v1", (), unmarked=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Repeatable: nothing is done."""
        return {"id": "00000000-0000-0000-0000-000000000001", "size": 1}


class Plain(Step):
    """The same for an engine that is given nothing."""

    def execute(self) -> dict[str, Any]:
        """Repeatable: nothing is done."""
        return {"id": "00000000-0000-0000-0000-000000000001", "size": 1}


@registered
def five() -> Flow:
    """Return a flow of five steps in a row."""
    return linear_flow.Flow("five").add(*(Nothing(f"step_{n}") for n in range(STEPS)))


@registered
def five_plain() -> Flow:
    """Return the same flow for taskflow's engine."""
    return linear_flow.Flow("five").add(*(Plain(f"step_{n}") for n in range(STEPS)))


def in_memory() -> None:
    """Run once with our engine and no journal."""
    outcome = flow_run.run_in_memory(five, {}, CONTEXT)
    assert outcome.state == "done"


def journalled(journal: Journal) -> Once:
    """Return a function that runs one operation as ``worker.execution.intake`` does it."""

    def once() -> None:
        detail = journal.accept(uuid.uuid4().hex, SLOT, _operation())
        assert detail is not None
        progress = journal.progress(detail)
        outcome = flow_run.FlowRun(five, {}, CONTEXT, detail, progress).run()
        assert outcome.state == "done"
        journal.finish(detail, progress, outcome.failure)

    return once


def stock(backend: Any) -> Once:
    """Return a function that runs one operation on an unchanged taskflow backend.

    :param backend: None to keep nothing at all.
    """

    def once() -> None:
        flow = five_plain()
        if backend is None:
            engines.load(flow).run()
            return
        book, detail = models.LogBook(SLOT), models.FlowDetail("five", _uuid())
        detail.meta.update(_operation().to_meta())
        book.add(detail)
        with contextlib.closing(backend.get_connection()) as connection:
            connection.save_logbook(book)
        engines.load(flow, flow_detail=detail, book=book, backend=backend).run()
        with contextlib.closing(backend.get_connection()) as connection:
            connection.destroy_logbook(book.uuid)

    return once


def _operation() -> Operation:
    volume = _uuid()
    who = {"user_id": "u" * 32, "project_id": "p" * 32, "request_id": f"req-{_uuid()}"}
    filters = {"retry": {"num_attempts": 1, "hosts": ["host@backend#pool"]}, "limits": {}}
    return Operation(
        five,
        ("volume", volume),
        {"volume_id": volume, "request_spec": {"volume_id": volume}, "filters": filters},
        exclusive=(volume,),
        method="create_volume",
        request=RequestContext.from_journal(who),
    )


def _uuid() -> str:
    return str(uuid.uuid4())


def measure(once: Once, count: int, rounds: int) -> dict[str, float]:
    """Return processor and wall-clock milliseconds of one operation, medians of the rounds."""
    for _ in range(min(20, count)):
        once()
    found = [_round(once, count) for _ in range(rounds)]
    return {key: statistics.median(f[key] for f in found) for key in found[0]}


def _round(once: Once, count: int) -> dict[str, float]:
    cpu, began = time.process_time(), time.monotonic()
    for _ in range(count):
        once()
    cpu, wall = time.process_time() - cpu, time.monotonic() - began
    return {"cpu": cpu / count * 1e3, "wall": wall / count * 1e3}


@contextlib.contextmanager
def _places(mariadb: bool) -> Iterator[list[tuple[str, str, str]]]:
    """Give the databases: name, URL for ours, URL for taskflow's."""
    with Servers(durable=True) as servers:
        folder = servers.directory
        places = [("sqlite", f"sqlite:///{folder}/ours", f"sqlite:///{folder}/theirs")]
        if mariadb:
            places.append(("mariadb", servers.mariadb.database(), servers.mariadb.database()))
        yield places


def _compare(ours: str, theirs: str, options: argparse.Namespace) -> dict[str, Any]:
    journal = Journal(ours)
    journal.upgrade()
    backend = backends.fetch({"connection": theirs})
    with contextlib.closing(backend.get_connection()) as connection:
        connection.upgrade()
    try:
        found = {
            "memory": measure(in_memory, options.count, options.rounds),
            "journal": measure(journalled(journal), options.count, options.rounds),
            "stock_memory": measure(stock(None), options.count, options.rounds),
            "stock": measure(stock(backend), max(1, options.count // 20), options.rounds),
        }
        if (slots := journal.slots.table) is not None:
            holder = Holder(_uuid(), "boot/path", "node", 1)
            taken = slots.take(SLOT, "pool", "host@backend", holder, ttl=3600, former=None)
            assert taken is not None
            journal.slots.hold(taken, sys.exit)
            found["fenced"] = measure(journalled(journal), options.count, options.rounds)
        return found
    finally:
        journal.close()
        backend.close()


def _figures(found: dict[str, dict[str, float]]) -> dict[str, float]:
    cpu = {name: value["cpu"] for name, value in found.items()}
    fenced = {"fence_ms": cpu["fenced"] - cpu["journal"]} if "fenced" in cpu else {}
    return {
        **fenced,
        "journal_ms": cpu["journal"] - cpu["memory"],
        "stock_ms": cpu["stock"] - cpu["stock_memory"],
        "memory_ms": cpu["memory"],
        "with_journal_ms": cpu["journal"],
        "with_stock_ms": cpu["stock"],
        "ratio": cpu["stock"] / cpu["journal"],
        "wall_journal_ms": found["journal"]["wall"],
        "wall_stock_ms": found["stock"]["wall"],
    }


_LINES = (
    ("our engine, no journal", "memory"),
    ("our engine and journal", "journal"),
    ("our engine and journal, with a lease", "fenced"),
    ("taskflow's engine, no persistence", "stock_memory"),
    ("taskflow's engine and persistence", "stock"),
)


def _show(database: str, found: dict[str, dict[str, float]], figures: dict[str, float]) -> None:
    print(f"{database:<36}{'CPU ms':>10}{'wall ms':>10}   a cast of {STEPS} steps")
    for text, key in _LINES:
        if key not in found:  # a journal in SQLite has no leases
            continue
        print(f"  {text:<34}{found[key]['cpu']:>10.2f}{found[key]['wall']:>10.2f}")
    print(f"  {'the journal alone':<34}{figures['journal_ms']:>10.2f}   goal {GOAL_MS:.0f}")
    if "fence_ms" in figures:
        print(f"  {'the lease alone':<34}{figures['fence_ms']:>10.2f}   goal {FENCE_GOAL_MS:.0f}")
    print(f"  {'taskflow’s persistence alone':<34}{figures['stock_ms']:>10.2f}")
    print(f"  {'all, theirs to ours':<34}{figures['ratio']:>10.1f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="operations per round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median counts")
    parser.add_argument("--mariadb", action="store_true", help="on MariaDB as well")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    with _places(options.mariadb) as places:
        for name, ours, theirs in places:
            found = _compare(ours, theirs, options)
            told = _figures(found)
            _show(name, found, told)
            prefix = "" if name == "sqlite" else f"{name}_"
            figures |= {f"{prefix}{key}": round(value, 2) for key, value in told.items()}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
