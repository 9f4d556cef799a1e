# SPDX-License-Identifier: Apache-2.0
"""Record the journals of this version: ``python -m tests.journals.make``.

Each operation of :mod:`tests.journals.cases` is interrupted before its first step, in
steps, and while it is undone, once for each error that leads to another outcome. The
contents of the journal and of the database are written to a directory named after the
version, with the outcome of each operation when this version resumes it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import inspect
import json
import logging
import shutil
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy as sa

from drivers.interface import errors as driver_errors
from flows import errors, factories
from tests.faults.kill.cases.case import Case
from tests.journals import recording
from tests.journals.cases import CASES
from tests.journals.interruption import Interruption, run_case, seeded
from tests.journals.outcome import ids, outcome
from tests.journals.points import IN_EACH_STEP, Point, Run, points
from tests.journals.recording import Entry, Recording
from tests.journals.service import Databases
from worker.db import models

ROOT = Path(__file__).parents[2]


class Maker:
    """Interrupts cases, in databases of its own.

    :param folder: an empty directory for them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[Entry] = []
        self.factories: dict[str, list[str]] = {}
        self._messages: set[type[BaseException]] = set()
        self._empty = folder / "empty"
        self._empty.mkdir()
        Databases(self._empty).close()

    def record(self, cases: Sequence[tuple[str, Case]]) -> dict[str, str]:
        """Interrupt cases and return the dumps of their databases.

        The first case of each flow is interrupted at more points than the others.
        """
        place = self.folder / "made"
        place.mkdir()
        with seeded("database"):
            databases = Databases(place)
        for kind, case in sorted(cases, key=lambda one: one[1].name not in IN_EACH_STEP):
            for point in self._points(kind, case):
                self._interrupt(databases, kind, case, point)
        with databases.database.writer() as connection:
            # Settled reservations are a third of all rows, and nothing reads them.
            settled = models.reservations.c.deleted == sa.true()
            connection.execute(sa.delete(models.reservations).where(settled))
        databases.close()
        dumps = recording.dumped(place)
        entries = self._scrubbed(json.dumps([asdict(entry) for entry in self.entries]))
        self.entries = [Entry(**entry) for entry in json.loads(entries)]
        return {name: self._scrubbed(text) for name, text in dumps.items()}

    def resume(self, version: Path) -> list[Entry]:
        """Return the entries with their outcomes when the dumps in a directory are resumed."""
        place = self.folder / "resumed"
        place.mkdir()
        databases = recording.restored(version, place)
        found = []
        for entry in self.entries:
            with seeded(entry.name):
                taken, ended, rows = recording.resume(databases, entry)
            assert taken == 1, entry.name
            found.append(replace(entry, ended=ended, outcome=rows))
        databases.close()
        return found

    def _points(self, kind: str, case: Case) -> list[Point]:
        def run(interruption: Interruption) -> tuple[str, dict[str, Any]]:
            return self._run(kind, case, interruption)

        whole = Interruption()
        state, rows = run(whole)
        assert state == "SUCCESS", (case.name, state, rows)
        path = factories.path_of(case.factory)
        first = path not in self.factories
        self.factories[path] = [step.name for step in whole.steps]
        return points(Run(kind, case, whole.steps, run), self._messages, first=first)

    def _run(self, kind: str, case: Case, interruption: Interruption) -> tuple[str, dict[str, Any]]:
        """Run a case in databases of its own; return the state of its flow, and its outcome."""
        with tempfile.TemporaryDirectory() as name:
            for database in recording.DUMPS:
                shutil.copy(self._empty / database, name)
            databases = Databases(Path(name))
            service, flow = run_case(databases, kind, case, "b0", interruption)
            found = str(databases.journal.load(flow).state), outcome(service, ids(service))
            service.close()
            databases.close()
            return found

    def _interrupt(self, databases: Databases, kind: str, case: Case, point: Point) -> None:
        backend = f"b{len(self.entries) + 1}"
        service, flow = run_case(databases, kind, case, backend, point.interruption)
        point.then(databases.journal, flow)
        entry = Entry(
            name=f"{case.name}: {point.name}",
            kind=kind,
            backend=backend,
            project=service.project,
            flow=flow,
            request=point.request,
            state=service.state(),
        )
        self.entries.append(entry)
        service.close()

    def _scrubbed(self, text: str) -> str:
        """Return a text without names of this machine."""
        for name, instead in (
            (str(self.folder / "made"), "/var/lib/holdfast"),
            (sysconfig.get_paths()["stdlib"], "/usr/lib/python3"),
            (str(ROOT), "/opt/holdfast"),
            (sys.prefix, "/opt/venv"),
            (socket.gethostname(), "h1"),
        ):
            text = text.replace(name, instead)
        return text


def make(version: Path, cases: Sequence[tuple[str, Case]] = CASES) -> Recording:
    """Write the directory of a version."""
    with tempfile.TemporaryDirectory(prefix="journals-") as name:
        maker = Maker(Path(name))
        with mock.patch("time.time", recording.INTERRUPTED.timestamp):
            dumps = maker.record(cases)
        version.mkdir(parents=True)
        for dump, text in dumps.items():
            (version / dump).write_text(text)
        made = Recording(maker.factories, error_names(), maker.resume(version))
        made.save(version)
        return made


def error_names() -> list[str]:
    """Return the full names of all error classes that a stored failure may name."""
    found = {
        f"{one.__module__}.{one.__qualname__}"
        for module in (errors, driver_errors)
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, Exception)
    }
    return sorted(found)


def main() -> None:
    """Record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", default=importlib.metadata.version("holdfast"))
    parser.add_argument("--into", type=Path, default=recording.DIRECTORY)
    chosen = parser.parse_args()
    version = chosen.into / chosen.version
    if version.exists():
        parser.error(f"{version} was recorded already, by the code of that version")
    logging.disable()
    made = make(version)
    print(f"{version}: {len(made.entries)} operations of {len(made.factories)} flows")


if __name__ == "__main__":
    main()
