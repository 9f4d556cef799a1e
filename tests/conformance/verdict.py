# SPDX-License-Identifier: Apache-2.0
"""The end of a run over one driver: how much was tested, and the reasons of the rest."""

from __future__ import annotations

import mmap
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

LEAST = 1 / 3
"""Part of the tests that has to have been run."""

UNREAD = "no way to read"
"""Begin of the reason of a test whose data could not be read: nothing about data was tested."""


HANGS = "Timeout (>"
"""In the report of a test that the time limit has ended."""


class Verdict:
    """A plugin that counts the tests, and fails a run that tested little."""

    def __init__(self, config: pytest.Config) -> None:
        self._is_strict = config.getoption("require")
        self._allowed = [re.compile(one) for one in config.getoption("allow_skip")]
        self._running = config.getoption("running_file")
        self._process = os.getpid()
        self._forked = mmap.mmap(-1, 1)
        """A byte that a forked process sets: it came back from a call of the driver."""
        self._session: pytest.Session | None = None
        self._outcomes: dict[str, str] = {}
        self._reasons: Counter[str] = Counter()

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Note the session, which a call that hangs ends."""
        self._session = session

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Note the test: a driver may end the process in it."""
        self._note(nodeid)

    def _note(self, text: str) -> None:
        if self._running:
            Path(self._running).write_text(text, encoding="utf-8")

    def _end_forked_process(self) -> None:
        """End a process that the driver forked, and that runs the suite now as well."""
        if os.getpid() != self._process:
            self._forked[0] = 1
            sys.stderr.flush()
            os._exit(1)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self) -> None:
        """Look at the process after each part of a test."""
        self._end_forked_process()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of a test."""
        if report.skipped and isinstance(report.longrepr, tuple):
            self._reasons[str(report.longrepr[2]).removeprefix("Skipped: ")] += 1
        if report.failed or report.skipped or report.when == "call":
            self._outcomes.setdefault(report.nodeid, report.outcome)
            if report.failed and HANGS in str(report.longrepr) and self._session is not None:
                self._session.shouldfail = "a call hangs, see the stack above; slow? see --timeout"
            if report.failed:
                self._outcomes[report.nodeid] = "failed"

    def faults(self) -> list[str]:
        """Return why a run without a failed test is not green."""
        counts = Counter(self._outcomes.values())
        found = []
        if self._forked[0]:
            found.append("a process that the driver forked returned from its call: end it there")
        if not counts["passed"]:
            found.append("no test was run")
        elif counts["passed"] < LEAST * len(self._outcomes):
            of = f"{counts['passed']} of {len(self._outcomes)} tests"
            found.append(f"only {of} were run: implement more of the contract, or see --device")
        unread = [reason for reason in self._unaccepted() if reason.startswith(UNREAD)]
        found += [f"data was not tested: {reason}" for reason in unread]
        if self._is_strict and (skipped := self._unaccepted()):
            found += [f"--require: skipped: {reason}" for reason in skipped]
        return found

    def _unaccepted(self) -> list[str]:
        return sorted(
            reason
            for reason in self._reasons
            if not any(pattern.search(reason) for pattern in self._allowed)
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that tested little."""
        self._note("")
        if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = (
                pytest.ExitCode.TESTS_FAILED if self.faults() else pytest.ExitCode.OK
            )

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the skipped tests by reason, and the verdict."""
        counts = Counter(self._outcomes.values())
        terminalreporter.section("conformance")
        for reason, number in sorted(self._reasons.items()):
            terminalreporter.line(f"skipped {number:4}: {reason}")
        text = ", ".join(f"{counts[name]} {name}" for name in ("passed", "failed", "skipped"))
        terminalreporter.line(f"tests: {text}")
        for fault in self.faults():
            terminalreporter.line(f"not conformant: {fault}", red=True)
