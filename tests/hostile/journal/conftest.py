# SPDX-License-Identifier: Apache-2.0
"""A command line, and the execution of one process, over a journal to be forged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from tests.hostile.journal.forging import Forger
from tests.unit.cli.conftest import conf, holdfast  # noqa: F401  (fixtures)
from tests.unit.flows.world.world import World
from tests.unit.worker.execution.test_operation_pool import GATE, Bench
from worker.journal.journal import Journal


@pytest.fixture
def nothing_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail if an entry has run a command, or imported the module ``intruder``."""
    marks = tmp_path / "marks"
    marks.mkdir()
    (tmp_path / "intruder.py").write_text(f"open({str(marks / 'imported')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def note(name: str) -> Callable[..., int]:
        return lambda *_args, **_kwargs: (marks / name).touch() or 0

    for module, name in ((os, "system"), (os, "execv"), (os, "unlink"), (subprocess, "call")):
        monkeypatch.setattr(module, name, note(name))
    yield
    monkeypatch.undo()
    sys.modules.pop("intruder", None)
    assert sorted(path.name for path in marks.iterdir()) == []


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """The execution of one process."""
    GATE.reset()
    made = Bench(World(tmp_path), tmp_path)
    yield made
    made.close()


@pytest.fixture
def forged(bench: Bench, tmp_path: Path) -> Forger:
    """Writes entries into the journal of the execution."""
    return Forger(bench.journal, tmp_path / "journal.sqlite")


@pytest.fixture
def forged_for_commands(conf: cfg.ConfigOpts) -> Iterator[Forger]:  # noqa: F811
    """Writes entries into the journal of the commands."""
    journal = Journal(conf.journal.connection)
    journal.upgrade()
    forger = Forger(journal, Path(conf.journal.connection.removeprefix("sqlite:///")))
    yield forger
    forger.remove()
    journal.close()
