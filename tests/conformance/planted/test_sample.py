# SPDX-License-Identifier: Apache-2.0
"""A random selection of planted bugs; ``python -m tests.conformance.planted`` tries all."""

from __future__ import annotations

import subprocess
import sys
import time

from .bugs import answers
from .campaign import ROOT, Finding, reported
from .kinds import CORRECT, all_bugs

SECONDS = 8
"""No bug is tried after so many seconds."""

FEWEST = 250


def test_every_bug_can_be_planted(chance):
    bugs = all_bugs()
    texts = {name: kind.file.read_text() for name, kind in CORRECT.items()}
    planted = {bug.name: bug.source(texts[bug.driver], CORRECT[bug.driver].driver) for bug in bugs}

    for name in chance.sample(sorted(planted), 40):
        compile(planted[name], name, "exec")
    assert len({(bug.driver, bug.name) for bug in bugs}) == len(bugs) >= FEWEST


def test_some_bugs_are_found(chance):
    """Of the answers that no row can take, which the tests of their method find at once."""
    began, tried = time.monotonic(), 0
    for bug in chance.sample(answers.BUGS, 3):
        if time.monotonic() - began > SECONDS:
            break
        script = f"from tests.conformance.planted import campaign as c; c.show({bug.name!r})"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        found = done.stdout.splitlines()[-1] if done.stdout else done.stderr
        assert found.startswith("found"), f"{bug.name}: {found}"
        tried += 1
    assert tried


def test_a_begun_report_is_continued():
    first, second, third = all_bugs()[:3]
    given = [Finding(first, "test_a.py::test_b[x]", 1.5), Finding(second, "", 107.25)]
    lines = [*(finding.line for finding in given), '{"bugs": 2}', ""]

    assert [one.line for one in reported(lines, [first, second, third])] == lines[:2]
    assert [bool(one.test) for one in reported(lines, all_bugs())] == [True, False]
