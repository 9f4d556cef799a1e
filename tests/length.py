# SPDX-License-Identifier: Apache-2.0
"""The length of a run, and the seed of its choices.

With ``HOLDFAST_FULL=1`` property tests try every example and every pair, else a part. ``--full``
runs each kind of fault and attack at length; without it, a quick selection. ``tests/conftest.py``
loads this module as a plugin, so that every folder has its options and fixtures. Tests that are
marked ``lasts`` run first.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Sequence
from pathlib import Path

import hypothesis
import pytest

FULL = bool(os.environ.get("HOLDFAST_FULL"))

_FEWEST = 8

_COMPUTING = [Path(__file__).parent / folder for folder in ("unit", "conformance")]
"""The folders whose tests mostly compute; those of the others mostly wait for a service."""


def examples(number: int) -> int:
    """Return how many examples a property test tries, of the number in a full run."""
    return number if FULL else max(_FEWEST, number // 4)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the length of the run, and the seed that repeats it."""
    group = parser.getgroup("faults")
    group.addoption("--full", action="store_true", help="every fault and attack at full length")
    group.addoption("--restart-seconds", type=float, help="length of the restarts under load")
    group.addoption("--seed", type=int, help="repeat the choices of a run that printed this seed")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed once, describe the marker ``full``, and set the rules of property tests.

    Neither an example nor the making of one fails for the time it takes: the machine may be busy.
    """
    hypothesis.settings.register_profile(
        "length of the run",
        max_examples=examples(100),
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("length of the run")
    config.addinivalue_line("markers", "full: takes minutes; only with --full")
    config.addinivalue_line("markers", "lasts(seconds): is long, so that a worker begins with it")
    if config.getoption("seed") is None:
        config.option.seed = random.SystemRandom().randrange(2**31)


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed."""
    return f"faults: --seed {config.getoption('seed')}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that are marked ``full``, unless it was asked for; begin with the longest."""
    if not config.getoption("full"):
        long = pytest.mark.skip(reason="takes minutes: --full")
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(long)
    if (worker := getattr(config, "workerinput", None)) is not None:
        seconds = [_seconds(item) for item in items]
        waits = [not any(map(item.path.is_relative_to, _COMPUTING)) for item in items]
        items[:] = [items[number] for number in order(seconds, waits, worker["workercount"])]


def _seconds(item: pytest.Item) -> float:
    """Return how long a test lasts by its marker, 0 without one."""
    marker = item.get_closest_marker("lasts")
    return float(marker.args[0]) if marker is not None else 0.0


def order(seconds: Sequence[float], waits: Sequence[bool], workers: int) -> list[int]:
    """Return the numbers of tests such that workers begin with long ones, or with computing ones.

    pytest-xdist gives each worker a part of the list, and later moves tests from the end of the
    longest part to a worker without any: a long test at the end of the run is waited for alone.
    In a run with both kinds, one worker of three (one of five) begins with the tests that compute,
    and the others with those that mostly wait: the processors are busy from the beginning.

    :param seconds: how long each test lasts, 0 for one that is not long.
    :param waits: whether each test mostly waits for a service, rather than computes.
    """
    short = [number for number, length in enumerate(seconds) if not length]
    waiting, computing = ([n for n in short if waits[n] is kind] for kind in (True, False))
    first = _longest_first(seconds, workers - (workers // 3 if waiting and computing else 0))
    ordered: list[int] = []
    for turn in range(workers):
        size = (len(seconds) - len(ordered)) // (workers - turn)
        part = []
        if turn < len(first):
            part = first[turn]
            share = math.ceil(len(waiting) / (len(first) - turn))
            _move(waiting, part, min(size, len(part) + share))
        _move(computing, part, size)
        _move(waiting, part, size)
        ordered += part
    return ordered


def _move(source: list[int], part: list[int], size: int) -> None:
    """Move numbers to a part until it has a size."""
    number = max(size - len(part), 0)
    part += source[:number]
    del source[:number]


def _longest_first(seconds: Sequence[float], workers: int) -> list[list[int]]:
    """Return for each worker its long tests, of about the same sum."""
    first: list[list[int]] = [[] for _ in range(workers)]
    for number in sorted(range(len(seconds)), key=lambda n: -seconds[n]):
        if seconds[number]:
            min(first, key=lambda part: sum(seconds[n] for n in part)).append(number)
    return first


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether this is the full run."""
    return bool(request.config.getoption("full"))


@pytest.fixture(scope="session")
def forked(full: bool) -> bool:
    """Fork services in a plain run: most of the time of a start is that of its imports."""
    return not full


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Choices that the printed seed repeats."""
    return random.Random(request.config.getoption("seed"))
