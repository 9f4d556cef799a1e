# SPDX-License-Identifier: Apache-2.0
"""Run the suite over our drivers, or over another: ``--driver package.Class``."""

from __future__ import annotations

import functools
import importlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from drivers.interface.volume import VolumeDriver
from tests.conformance.backend import CASES, Backend, Case, announces, load
from tests.conformance.places import PLACES, require_programs


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--driver", help="Entry point or class path of the driver to test.")
    group.addoption(
        "--driver-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="Option of that driver; may be repeated.",
    )
    group.addoption(
        "--device",
        metavar="MODULE:CALLABLE",
        help="What opens its volumes; see tests/conformance/devices.py.",
    )


def cases(config: pytest.Config) -> tuple[Case, ...]:
    """Return the drivers to test."""
    wanted = config.getoption("--driver")
    if not wanted:
        return CASES
    options = dict(pair.split("=", 1) for pair in config.getoption("--driver-option"))
    return (Case(wanted, wanted, options),)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests of other drivers: the backup drivers have a suite of their own."""
    if not config.getoption("--driver"):
        return
    about = {item for item in items if "case" in getattr(item, "fixturenames", ())}
    config.hook.pytest_deselected(items=[item for item in items if item not in about])
    items[:] = [item for item in items if item in about]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        found = cases(metafunc.config)
        metafunc.parametrize("case", found, ids=[case.name for case in found])


@pytest.fixture(scope="session")
def places() -> Iterator[Callable[[str, str], Path]]:
    """Return a directory in a place, for one case; a place is made once."""
    with ExitStack() as stack:

        @functools.cache
        def made(place: str, case: str) -> Path:
            # A short path: a socket's may have 107 bytes.
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="hfp-"))
            return stack.enter_context(PLACES[place](Path(scratch)))

        yield made


@pytest.fixture
def options(case: Case, places: Callable[[str, str], Path]) -> dict[str, str]:
    """The driver's options, in a place made for it."""
    require_programs(*case.programs)
    if case.place is None:
        return dict(case.options)
    return {"local_path": str(places(case.place, case.name) / "volumes"), **case.options}


@pytest.fixture
def driver_class(case: Case) -> type[VolumeDriver]:
    """The driver under test."""
    return load(case.driver)


@pytest.fixture
def backend(
    request: pytest.FixtureRequest, driver_class: type[VolumeDriver], options: dict[str, str]
) -> Iterator[Backend]:
    """Makes objects on the backend and removes them at the end."""
    for marker in request.node.iter_markers("announced"):
        for method in marker.args:
            if not announces(driver_class, method):
                pytest.skip(f"{driver_class.__name__} does not announce {method}")
    opener = None
    if found := request.config.getoption("--device"):
        module, _, attribute = found.partition(":")
        opener = getattr(importlib.import_module(module), attribute)
    made = Backend(driver_class, options, opener)
    yield made
    made.clear()


@pytest.fixture
def driver(backend: Backend) -> VolumeDriver:
    """A driver that is set up."""
    return backend.driver


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "announced(method): only for drivers that offer this optional method"
    )
