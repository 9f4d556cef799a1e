# SPDX-License-Identifier: Apache-2.0
"""The length of a run, and the seed of its choices.

With ``HOLDFAST_FULL=1`` property tests try every example and every pair, else a part. ``--full``
runs each kind of fault and attack at length; without it, a quick selection. ``tests/conftest.py``
loads this module as a plugin, so that every folder has its options and fixtures.
"""

from __future__ import annotations

import os
import random

import hypothesis
import pytest

FULL = bool(os.environ.get("HOLDFAST_FULL"))

_FEWEST = 8


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
    if config.getoption("seed") is None:
        config.option.seed = random.SystemRandom().randrange(2**31)


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed."""
    return f"faults: --seed {config.getoption('seed')}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that are marked ``full``, unless it was asked for."""
    if config.getoption("full"):
        return
    long = pytest.mark.skip(reason="takes minutes: --full")
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(long)


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
