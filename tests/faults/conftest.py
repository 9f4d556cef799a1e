# SPDX-License-Identifier: Apache-2.0
"""``--full`` runs each kind of fault at length; without it, a quick selection."""

from __future__ import annotations

import random

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the length of the run, and the seed that repeats it."""
    group = parser.getgroup("faults")
    group.addoption("--full", action="store_true", help="every fault at full length")
    group.addoption("--restart-seconds", type=float, help="length of the restarts under load")
    group.addoption("--seed", type=int, help="repeat the choices of a run that printed this seed")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed once, and describe the marker ``full`` marks."""
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
