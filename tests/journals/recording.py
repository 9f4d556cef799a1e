# SPDX-License-Identifier: Apache-2.0
"""Recorded journals, and how their operations are resumed by this version."""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from oslo_utils import timeutils

from tests.journals.outcome import ids, outcome
from tests.journals.service import Databases, Service

DIRECTORY = Path(__file__).parent
DUMPS = {"journal.sqlite": "journal.sql", "cinder.sqlite": "cinder.sql"}
"""Databases, and the dumps of them in the directory of a version."""

ENTRIES = "entries.json"

INTERRUPTED = datetime.datetime(2026, 1, 1, 12, 0, 0)
RESUMED = INTERRUPTED + datetime.timedelta(minutes=1)
"""The time of all runs, so that reservations and messages have not expired in any of them."""


@dataclass(frozen=True)
class Entry:
    """An interrupted operation.

    :param name: the operation, and where it was interrupted.
    :param kind: ``volume`` or ``backup``: the service that ran it.
    :param backend: the name of that service.
    :param flow: its id in the journal.
    :param request: an operator's request after it had failed: ``resume``, ``revert`` or none.
    :param state: of drivers and images, see :meth:`Service.state`.
    :param ended: the state of its flow after the version that wrote it had resumed it.
    :param outcome: the rows and objects after that.
    """

    name: str
    kind: str
    backend: str
    project: str
    flow: str
    request: str = ""
    state: Mapping[str, Any] = field(default_factory=dict)
    ended: str = ""
    outcome: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recording:
    """The recording of one version.

    :param factories: ``module:name`` of each flow factory that an RPC method starts, and
        the names of its steps.
    :param errors: full names of the error classes that a stored failure may name.
    """

    factories: Mapping[str, list[str]]
    errors: list[str]
    entries: list[Entry]

    @classmethod
    def load(cls, version: Path) -> Recording:
        data = json.loads((version / ENTRIES).read_text())
        return cls(data["factories"], data["errors"], [Entry(**one) for one in data["entries"]])

    def save(self, version: Path) -> None:
        """Write it with a line for each entry, for readable differences."""
        filled = ({k: v for k, v in asdict(entry).items() if v} for entry in self.entries)
        lines = ",\n  ".join(json.dumps(entry) for entry in filled)
        head = {"factories": self.factories, "errors": self.errors}
        shown = json.dumps(head, indent=1, sort_keys=True).removesuffix("\n}")
        (version / ENTRIES).write_text(f'{shown},\n "entries": [\n  {lines}\n ]\n}}\n')


def versions() -> list[Path]:
    """Return the directories of all recorded versions."""
    return sorted(path.parent for path in DIRECTORY.glob(f"*/{ENTRIES}"))


def restored(version: Path, folder: Path) -> Databases:
    """Return the journal and the database of a version, upgraded to this one."""
    for database, dump in DUMPS.items():
        with closing(sqlite3.connect(folder / database)) as connection:
            connection.executescript((version / dump).read_text())
    return Databases(folder)


def dumped(folder: Path) -> dict[str, str]:
    """Return the dumps of both databases, by their names."""
    found = {}
    for database, dump in DUMPS.items():
        with closing(sqlite3.connect(folder / database)) as connection:
            found[dump] = "\n".join(connection.iterdump()) + "\n"
    return found


@contextmanager
def clock(moment: datetime.datetime) -> Iterator[None]:
    """Stop the clock by which rows are written."""
    with mock.patch.object(timeutils, "utcnow", lambda *_, **__: moment):
        yield


def resume(databases: Databases, entry: Entry) -> tuple[int, str, dict[str, Any]]:
    """Resume an operation as the start of a service does, or at an operator's request.

    :returns: how many operations of its service were taken over, the state of its flow
        after that, and the rows and objects.
    """
    service = Service(databases, entry.kind, entry.backend, entry.project)
    try:
        service.restore(entry.state)
        known = ids(service)
        with clock(RESUMED):
            taken = _resumed(service, entry)
        return taken, str(databases.journal.load(entry.flow).state), outcome(service, known)
    finally:
        service.close()


def _resumed(service: Service, entry: Entry) -> int:
    if not entry.request:
        return service.resume(entry.flow)
    journal = service.journal
    again = {"resume": journal.reopen, "revert": journal.revert_again}[entry.request]
    return service.take_over(again(entry.flow))
