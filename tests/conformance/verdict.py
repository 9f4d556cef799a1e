# SPDX-License-Identifier: Apache-2.0
"""The end of a run over one driver: how much was tested, and the reasons of the rest."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

LEAST = 1 / 3
"""Part of the tests that has to have been run."""

UNREAD = "no way to read"
"""Begin of the reason of a test whose data could not be read: nothing about data was tested."""


class Verdict:
    """A plugin that counts the tests, and fails a run that tested little."""

    def __init__(self, config: pytest.Config) -> None:
        self._is_strict = config.getoption("require")
        self._allowed = [re.compile(one) for one in config.getoption("allow_skip")]
        self._outcomes: dict[str, str] = {}
        self._reasons: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of a test."""
        if report.skipped and isinstance(report.longrepr, tuple):
            self._reasons[str(report.longrepr[2]).removeprefix("Skipped: ")] += 1
        if report.failed or report.skipped or report.when == "call":
            self._outcomes.setdefault(report.nodeid, report.outcome)
            if report.failed:
                self._outcomes[report.nodeid] = "failed"

    def faults(self) -> list[str]:
        """Return why a run without a failed test is not green."""
        counts = Counter(self._outcomes.values())
        found = []
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
