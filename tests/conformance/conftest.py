# SPDX-License-Identifier: Apache-2.0
"""Run the suite over our drivers, or over another: ``--driver package.Class``."""

from __future__ import annotations

import functools
import logging
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.volume import VolumeDriver

from . import cinders
from .backend import Backend, Case, announces
from .checks import outside, process_state
from .checks.first_set_up import set_up
from .interruption.modes import Mode
from .loading import KINDS, NoDriver, attribute, kind_of, load
from .options import UnknownOption, pairs, require_known
from .places import PLACES, require_programs
from .verdict import Verdict

_SCRATCH = tempfile.gettempdir()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--driver", help="Entry point, class path or FILE.py:CLASS of the driver.")
    group.addoption(
        "--kind",
        choices=sorted(KINDS),
        help="Kind of the driver; needed for an entry point of several kinds, or a function.",
    )
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
        help="Opens volumes of other protocols: called with the connection info, returns an "
        "object with size(), read(offset, length) and write(offset, data).",
    )
    group.addoption(
        "--foreign",
        metavar="MODULE:CALLABLE",
        help="Makes an object that is not managed: called with the options and a size in bytes, "
        "returns its reference.",
    )
    group.addoption(
        "--inventory",
        metavar="MODULE:CALLABLE",
        help="Lists all objects of the backend: called with the options, returns their names.",
    )
    group.addoption(
        "--ignore-file",
        action="append",
        default=[],
        metavar="PATTERN",
        help="Files in directories of the driver that stay there for good; may be repeated.",
    )
    group.addoption(
        "--modes",
        default=",".join(Mode),
        help="How each test is run: plain, killed, 'at once', separated by commas.",
    )
    group.addoption(
        "--points",
        type=int,
        default=12,
        help="How many points of each call it is killed and suspended at.",
    )
    group.addoption(
        "--require", action="store_true", help="Count each skipped test as a failed one."
    )
    group.addoption(
        "--running-file", metavar="FILE", help="Has the name of the running test; empty at the end."
    )
    group.addoption(
        "--allow-skip",
        action="append",
        default=[],
        metavar="PATTERN",
        help="Reasons of skipped tests that are accepted; may be repeated.",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "announced(method): only for drivers that offer this optional method"
    )
    config.addinivalue_line("markers", "calls: only for drivers whose calls are interrupted")
    config.addinivalue_line("markers", "plain: not repeated with kills and with calls at once")
    if config.getoption("driver"):
        config.stash[_UNDER_TEST] = _under_test(config)
        config.pluginmanager.register(Verdict(config), "conformance-verdict")


_UNDER_TEST = pytest.StashKey[tuple[str, Case]]()


def _under_test(config: pytest.Config) -> tuple[str, Case]:
    """Return the kind of the driver under test, and its case."""
    name, given = config.getoption("driver"), config.getoption("modes").split(",")
    if unknown := sorted(set(given) - set(Mode)):
        raise pytest.UsageError(f"unknown mode {unknown[0]!r}: {', '.join(Mode)}")
    try:
        options = pairs(config.getoption("driver_option"))
        found = load(name, config.getoption("kind"))
        kind = kind_of(found, config.getoption("kind"))
        if not cinders.is_cinders(found):
            require_known(getattr(found, "OPTS", ()), options)
        hooks = {
            label: attribute(path) if (path := config.getoption(option)) else None
            for label, option in (("foreign", "foreign"), ("listing", "inventory"))
        }
    except (NoDriver, UnknownOption) as error:
        raise pytest.UsageError(f"--driver {name}: {error}") from error
    ignored, points = tuple(config.getoption("ignore_file")), config.getoption("points")
    return kind, Case(
        name, name, options, modes=tuple(given), points=points, ignored=ignored, **hooks
    )


def cases(config: pytest.Config, kind: str) -> Sequence[Any]:
    """Return the drivers of a kind to test."""
    if config.getoption("driver"):
        tested, case = config.stash[_UNDER_TEST]
        return [case] if kind == tested else []
    if not (Path(__file__).parent / "own").is_dir():
        raise pytest.UsageError("give the driver to test: --driver")
    # Late: the suite is also installed without the rest of the tests.
    from .own import cases as own
    from .own import exports, images, stores

    found = {
        "volume": own.CASES,
        "backup": stores.CASES,
        "image": images.CASES,
        "export": exports.CASES,
    }
    return found[kind]


_FIXTURES = {"case": "volume", "store_case": "backup", "image_case": "image"}
_FIXTURES["export_case"] = "export"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        _with_modes(metafunc)
        return
    for name, kind in _FIXTURES.items():
        if name in metafunc.fixturenames:
            found = cases(metafunc.config, kind)
            metafunc.parametrize(name, found, ids=[case.name for case in found])


def _with_modes(metafunc: pytest.Metafunc) -> None:
    is_plain = any(metafunc.definition.iter_markers("plain"))
    is_long = any(metafunc.definition.iter_markers("calls"))
    found = [
        (case, mode)
        for case in cases(metafunc.config, "volume")
        for mode in case.modes
        if mode == Mode.PLAIN or not is_plain
        if case.points or not is_long
        if not case.has_one_mode or mode in (Mode.PLAIN, _other_mode(metafunc))
    ]
    ids = [case.name if mode == Mode.PLAIN else f"{case.name}-{mode}" for case, mode in found]
    metafunc.parametrize(("case", "mode"), found, ids=ids)


def _other_mode(metafunc: pytest.Metafunc) -> Mode:
    """Return killed for one half of the tests and at once for the other."""
    number = zlib.crc32(metafunc.definition.nodeid.encode())
    return (Mode.KILLED, Mode.AT_ONCE)[number % 2]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests of other kinds of drivers, and those of the repository."""
    if not config.getoption("driver"):
        return
    wanted = next(name for name, kind in _FIXTURES.items() if kind == config.stash[_UNDER_TEST][0])
    about = [item for item in items if wanted in getattr(item, "fixturenames", ())]
    about = [item for item in about if "NOTSET" not in item.name]
    chosen = set(about)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = about


@pytest.fixture(scope="session")
def places() -> Iterator[Callable[[str, str], Path]]:
    """Return a directory in a place, for one case; a place is made once."""
    with ExitStack() as stack:

        @functools.cache
        def made(place: str, case: str) -> Path:
            # A short path: a socket's may have 107 bytes.
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="hfp-", dir=_SCRATCH))
            return stack.enter_context(PLACES[place](Path(scratch)))

        yield made


@pytest.fixture(scope="session", autouse=True)
def _nothing_outside() -> Iterator[None]:
    with outside.removed():
        yield


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
    return load(case.driver, "volume")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of temporary files of the test."""
    made = tmp_path / "scratch"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    monkeypatch.setenv("TMPDIR", str(made))
    return made


@pytest.fixture
def backend(
    request: pytest.FixtureRequest,
    case: Case,
    mode: str,
    driver_class: type[VolumeDriver],
    options: dict[str, str],
    scratch: Path,
) -> Iterator[Backend]:
    """Makes objects on the backend, removes them at the end, and looks for the rest."""
    for marker in request.node.iter_markers("announced"):
        for method in marker.args:
            if not announces(driver_class, method):
                pytest.skip(f"{driver_class.__name__} does not announce {method}")
    found = request.config.getoption("device")
    opener = found and attribute(found)
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.DEBUG)
    state = process_state.read()
    try:
        made = set_up(request, lambda: Backend(driver_class, options, opener, case, mode))
        root.addHandler(made.log)
        try:
            yield made
            made.clear()
        finally:
            root.removeHandler(made.log)
    finally:
        changed = process_state.changes(state)
        root.setLevel(level)
    assert made.logged_secrets() == [], "log lines with secrets"
    if made.is_cinders:
        return  # its rows and its files of state are Cinder's own
    assert changed == [], "state of the process that the driver changed"
    assert made.left_behind() == [], "left behind, or lost"
    if not made.mode.has_killed:
        assert os.listdir(scratch) == [], "temporary files left behind"


@pytest.fixture
def driver(backend: Backend) -> VolumeDriver:
    """A driver that is set up."""
    return backend.driver
