# SPDX-License-Identifier: Apache-2.0
"""The backup driver under test, and the directories in which it may leave files."""

from __future__ import annotations

import functools
import logging
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg

from drivers.interface.backup import BackupDriver

from .. import cinders
from ..checks import leaks, secrets
from ..checks.first_set_up import set_up
from ..loading import load
from .rows import MIB, Metadata, Rows, scribble

SIZE = 6 * MIB
"""Bytes of the volume, unless the case of the driver has a size."""


def _prepared(case: Any, request: pytest.FixtureRequest, place: Path) -> Callable[[], Any]:
    """Return a factory of drivers; each stands for another process."""
    if hasattr(case, "prepare"):
        return case.prepare(request, place)
    driver = load(case.driver, "backup")
    if cinders.is_cinders(driver):
        options = {"backup_work_path": str(place / "work"), **case.options}
        return lambda: driver(cinders.store_configuration(options), metadata=Metadata())
    conf = cfg.ConfigOpts()
    conf.register_opts(driver.OPTS, group="conformance")
    conf.register_opts([cfg.StrOpt("state_path", default=str(place))])
    for name, value in case.options.items():
        conf.set_override(name, value, group="conformance")
    values = {option.dest: conf["conformance"][option.dest] for option in driver.OPTS}
    values.setdefault("backup_work_path", str(place / "work"))
    configured = SimpleNamespace(**values, safe_get=values.get)
    return lambda: driver(configured, metadata=Metadata())


def _checked(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return a factory of drivers, one of which has been set up."""
    make().check_for_setup_error()
    return make


@pytest.fixture
def make(
    store_case: Any, request: pytest.FixtureRequest, tmp_path: Path, scratch: Path
) -> Iterator[Callable[[], Any]]:
    made = set_up(request, lambda: _checked(_prepared(store_case, request, tmp_path)))
    texts, root = secrets.LoggedTexts(), logging.getLogger()
    level = root.level
    root.addHandler(texts)
    root.setLevel(logging.DEBUG)
    try:
        yield made
    finally:
        root.removeHandler(texts)
        root.setLevel(level)
    options = vars(made().configuration)
    hidden = secrets.of_options(made().OPTS, options)
    assert [text for text in texts.texts if secrets.within(text, hidden)] == []
    assert os.listdir(scratch) == [], "temporary files left behind"


@pytest.fixture
def driver(make: Callable[[], Any]) -> Any:
    made = make()
    made.check_for_setup_error()
    return made


@pytest.fixture
def work_files(driver: BackupDriver, store_case: Any) -> Callable[[], set[str]]:
    """A function that lists the files of the driver's own directories, but for the store."""
    options = {name: str(value) for name, value in vars(driver.configuration).items()}
    work = {name: value for name, value in options.items() if "work" in name or "tmp" in name}
    return lambda: leaks.files(leaks.directories(work), store_case.ignored)


@pytest.fixture
def stored_files(driver: BackupDriver, store_case: Any) -> Callable[[], set[str]]:
    """A function that lists all files of the driver's directories."""
    options = {name: str(value) for name, value in vars(driver.configuration).items()}

    def listed() -> set[str]:
        found = leaks.files(leaks.directories(options), store_case.ignored)
        return {name for name in found if not Path(name).is_dir()}

    return listed


@pytest.fixture
def rows(driver: BackupDriver) -> Rows:
    return cinders.StoreRows() if cinders.is_cinders(type(driver)) else Rows()


@pytest.fixture
def size(store_case: Any) -> int:
    """Return the bytes of the volume: several objects of the driver."""
    return getattr(store_case, "size", SIZE)


@pytest.fixture
def volume(tmp_path: Path, size: int) -> Path:
    path = tmp_path / "volume"
    scribble(path, random.Random(7), size, writes=20)
    return path


@pytest.fixture
def target(tmp_path: Path, size: int) -> Path:
    path = tmp_path / "target"
    path.write_bytes(_noise(size))
    return path


@functools.cache
def _noise(size: int) -> bytes:
    return random.Random(8).randbytes(size)
