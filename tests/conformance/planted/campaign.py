# SPDX-License-Identifier: Apache-2.0
"""Plant each bug in a correct driver, run the suite over it, and count the bugs it finds.

Each run is a process that is forked from this one, with all modules imported, and ends at the
first failed test. The tests of the bug's subject come first.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.process import patient

from .bug import Bug
from .kinds import CORRECT, all_bugs

SUITE = Path(__file__).parents[1]
ROOT = Path(__file__).parents[3]
_HANGS = 100
"""Seconds after which a test counts as hanging, which a bug may cause, on a machine with time."""

_NAME_LENGTH = 69
"""Characters of a line of the report with a bug's driver and name."""

_NOT_FOUND, _PASSES = "NOT FOUND", "passes"


@dataclass
class Finding:
    """The outcome of the suite over one driver.

    :param test: the failed test; empty where none failed.
    """

    bug: Bug
    test: str = ""
    seconds: float = 0.0

    @property
    def line(self) -> str:
        """The line of a report."""
        verdict = self.test or (_PASSES if _is_clean(self.bug) else _NOT_FOUND)
        return f"{_name(self.bug)} {self.seconds:6.1f} {verdict}"


def _is_clean(bug: Bug) -> bool:
    return not bug.method and not bug.changes


def _name(bug: Bug) -> str:
    return f"{bug.driver:8} {bug.name:60.60}"


def reported(lines: Iterable[str], bugs: Sequence[Bug]) -> list[Finding]:
    """Return the findings of a report, which another run has begun."""
    known = {_name(bug): bug for bug in bugs}
    found = []
    for line in lines:
        bug = known.get(line[:_NAME_LENGTH])
        if bug is not None:
            seconds, _, verdict = line[_NAME_LENGTH:].strip().partition(" ")
            test = "" if verdict == _NOT_FOUND else verdict
            found.append(Finding(bug, test, float(seconds)))
    return found


class _Order:
    """A plugin that runs the tests of a subject first, and notes the first failure."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self.failed = ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=self._place)

    def _place(self, item: pytest.Item) -> tuple[bool, bool, bool]:
        mode = getattr(getattr(item, "callspec", None), "params", {}).get("mode", "plain")
        is_long = "test_calls" in item.nodeid or "test_moments" in item.nodeid
        is_other = self._subject not in item.nodeid
        return mode != "plain", is_other and is_long, is_other

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            name = report.nodeid.partition("conformance/")[2] or report.nodeid
            self.failed = re.sub(r"\[/[^\]]*:Mutant", "[", name)


def arguments(bug: Bug, place: Path) -> list[str]:
    """Write the driver with the bug and return the arguments of the suite for it."""
    kind = CORRECT[bug.driver]
    file = place / f"mutant_{bug.driver}.py"
    file.write_text(bug.source(kind.file.read_text(), kind.driver))
    given = [f"--driver={file}:Mutant", *kind.arguments(place)]
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:logging", "--tb=no", "--no-header"]
    timeout = ["-o", f"timeout={patient(_HANGS):g}", "-o", "strict_markers=true"]
    return [str(SUITE), *quiet, *timeout, f"--basetemp={place / 'tmp'}", *given]


def run(bug: Bug) -> Finding:
    """Run the suite over the driver with a bug, in this process."""
    place = Path(tempfile.mkdtemp(prefix="planted-", dir=_quick_place()))
    began, order = time.monotonic(), _Order(bug.subject)
    try:
        given = arguments(bug, place)
        if own := _own_tests(bug.subject):
            pytest.main([*own, *given[1:], "--modes=plain"], plugins=[order])
        if not order.failed:
            status = pytest.main(given, plugins=[order])
            if status and not order.failed:
                order.failed = f"exit status {int(status)}"
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return Finding(bug, order.failed, time.monotonic() - began)


def _own_tests(subject: str) -> list[str]:
    """Return the module of the tests that find a bug most likely: collecting all takes longer."""
    name = subject.rpartition("/")[2]
    return [str(path) for path in SUITE.rglob(f"{name}.py") if subject in str(path)] if name else []


def _quick_place() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _forked(bug: Bug, output: Path) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        found = run(bug)
        output.write_text(json.dumps({"test": found.test, "seconds": found.seconds}))
        status = 0
    finally:
        os._exit(status)


def findings(bugs: Sequence[Bug], processes: int) -> Iterator[Finding]:
    """Run the suite over each driver, some at the same time."""
    preload()
    running: dict[int, tuple[Bug, Path]] = {}
    waiting = list(bugs)
    with tempfile.TemporaryDirectory() as place:
        while waiting or running:
            while waiting and len(running) < processes:
                bug, output = waiting.pop(0), Path(place, str(len(waiting)))
                running[_forked(bug, output)] = (bug, output)
            child, _ = os.wait()
            if child not in running:
                continue
            bug, output = running.pop(child)
            if output.exists():
                yield Finding(bug, **json.loads(output.read_text()))
            else:
                yield Finding(bug, "the process ended")


def preload() -> None:
    """Import the suite, so that forked processes have it."""
    kept = os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        with tempfile.TemporaryDirectory() as place:
            for driver in CORRECT:
                kind = Bug("none", driver, "")
                pytest.main([*arguments(kind, Path(place)), "--collect-only"])
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)


def show(name: str) -> None:
    """Print whether the tests of its subject find a bug; for a process of its own."""
    bug = next(bug for bug in all_bugs() if bug.name == name)
    order = _Order(bug.subject)
    with tempfile.TemporaryDirectory(dir=_quick_place()) as place:
        given = arguments(bug, Path(place))
        pytest.main([*_own_tests(bug.subject), *given[1:], "--modes=plain"], plugins=[order])
    sys.stdout.write(f"\nfound {order.failed}\n" if order.failed else "\nnot found\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each bug, and the share that was found as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.planted")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--sample", type=int, help="a random selection of so many bugs")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--only", default="", help="bugs whose name or driver has this text")
    parser.add_argument("--least", type=float, default=0.95, help="share that has to be found")
    parser.add_argument("--begun", type=Path, help="report of a run whose bugs are not run again")
    options = parser.parse_args(argv)
    bugs = [bug for bug in all_bugs() if options.only in f"{bug.driver}: {bug.name}"]
    # In random order: the share of an interrupted campaign is one of all bugs.
    bugs = random.Random(options.seed).sample(bugs, options.sample or len(bugs))
    known = reported(options.begun.read_text().splitlines(), bugs) if options.begun else []
    done = [finding.bug for finding in known]
    waiting = [bug for bug in bugs if bug not in done]
    clean = [Bug("no bug: the correct driver", driver, "") for driver in CORRECT]
    began = time.monotonic()
    for finding in findings([*waiting, *clean], options.processes):
        known.append(finding)
        sys.stdout.write(f"{finding.line}\n")
        sys.stdout.flush()
    caught = [finding for finding in known if finding.test and not _is_clean(finding.bug)]
    alarms = [finding for finding in known if finding.test and _is_clean(finding.bug)]
    share = len(caught) / len(bugs) if bugs else 1.0
    figures = {
        "bugs": len(bugs),
        "found": len(caught),
        "share": round(share, 4),
        "false_alarms": len(alarms),
        "seconds": round(time.monotonic() - began),
        "seed": options.seed,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return int(share < options.least or len(alarms) > 0)
