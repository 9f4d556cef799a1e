# SPDX-License-Identifier: Apache-2.0
"""Objects that outlive modules of tests are kept from the garbage collector."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import MODULES, pytest_runtest_protocol


class Cycle:
    def __init__(self) -> None:
        self.own = self


def run(path: str, following: str, config: Any) -> None:
    """Run a test of one module that another one of a module follows."""
    item, nextitem = (SimpleNamespace(path=Path(name), config=config) for name in (path, following))
    running = pytest_runtest_protocol(item, nextitem)  # type: ignore[arg-type]
    next(running)
    with pytest.raises(StopIteration):
        running.send(True)


def test_after_some_modules_they_are_kept_and_cycles_are_freed() -> None:
    config = SimpleNamespace(stash=pytest.Stash())
    kept: list[Any] = [[number] for number in range(50)]
    for number in range(MODULES - 1):
        run(f"{number}", f"{number}", config)
        run(f"{number}", f"{number + 1}", config)
    before, freed = gc.get_freeze_count(), weakref.ref(Cycle())

    run("last", "another", config)

    assert freed() is None
    assert gc.get_freeze_count() >= before + len(kept)
