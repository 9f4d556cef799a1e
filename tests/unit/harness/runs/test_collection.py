# SPDX-License-Identifier: Apache-2.0
"""Each process collects the same tests in the same order.

pytest-xdist ends a run with "Different tests were collected" where its workers differ. They do
where parameters, or their ids, come from a set of texts, from a directory in the order of its file
system, from random numbers or from the clock.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
FOLDERS = [
    *("tests/cluster", "tests/faults", "tests/hostile", "tests/functional"),
    *("tests/unit", "tests/conformance"),
]
"""Those of plain tox."""

_OTHER = "tests.unit.harness.runs.other_order"

_FAULTY = """\
import os, random, time
import pytest

@pytest.mark.parametrize("value", [*{"a", "b", "c", "d", "e", "f", "g", "h"}])
def test_hashes(value): pass

@pytest.mark.parametrize("value", os.listdir(os.path.dirname(__file__) + "/listed"))
def test_directory(value): pass

@pytest.mark.parametrize("value", [random.random()])
def test_random_numbers(value): pass

@pytest.mark.parametrize("value", [int(time.time() / 3600)])
def test_time(value): pass

@pytest.mark.parametrize("value", sorted({"a", "b", "c"}))
def test_nothing(value): pass
"""


def collected(*arguments: str, seed: int, folder: Path = ROOT, other: bool = False) -> list[str]:
    """Return the ids of all tests, as a process with a seed of hashes collects them."""
    plugin = ("-p", _OTHER) if other else ()
    # Options and the worker of the run that this test is a part of are none of that process.
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--no-header", *plugin]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=inherited | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return [line for line in done.stdout.splitlines() if "::" in line]


def differences(first: list[str], second: list[str]) -> list[str]:
    """Return tests that only one of two collections has, or else the first ones out of place."""
    only = sorted({*first} ^ {*second})
    return only or [f"{one} or {two}" for one, two in zip(first, second, strict=True) if one != two]


@pytest.mark.lasts(25)
def test_each_process_collects_the_same_tests_in_the_same_order() -> None:
    first = collected(*FOLDERS, seed=1)
    second = collected(*FOLDERS, seed=2, other=True)

    assert len(first) > 10_000
    assert differences(first, second)[:20] == []


def test_parameters_that_differ_are_found(tmp_path: Path) -> None:
    (tmp_path / "test_faulty.py").write_text(_FAULTY)
    for name in "abcdefgh":
        (tmp_path / "listed" / name).mkdir(parents=True)
    one, two = (
        [
            line.partition("::")[2]
            for line in collected(".", seed=seed, folder=tmp_path, other=other)
        ]
        for seed, other in ((1, False), (2, True))
    )

    differing = {a.partition("[")[0] for a, b in zip(one, two, strict=True) if a != b}
    assert differing == {"test_hashes", "test_directory", "test_random_numbers", "test_time"}
    assert "test_nothing[a]" in one


def sets_in_parameters(text: str) -> list[int]:
    """Return the lines at which a test is parametrized by a set, whose order may be by chance."""
    lines = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".parametrize"):
            lines += [value.lineno for value in node.args[1:2] if _is_set(value)]
    return lines


def _is_set(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func) in ("set", "frozenset")
    if isinstance(value, ast.BinOp):
        return _is_set(value.left) or _is_set(value.right)
    return isinstance(value, ast.Set | ast.SetComp)


@pytest.mark.parametrize("text", ["{1, 2}", "set(x)", "{a for a in b}", "x.keys() - {'a'}"])
def test_a_set_of_parameters_is_found(text: str) -> None:
    assert sets_in_parameters(f"@pytest.mark.parametrize('a', {text})\ndef test(a): pass") == [1]


def test_no_test_is_parametrized_by_a_set() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in sorted((ROOT / "tests").glob("**/*.py"))
        if (lines := sets_in_parameters(path.read_text(encoding="utf-8")))
    }

    assert found == {}
