# SPDX-License-Identifier: Apache-2.0
"""The cases of which journals are recorded cover every flow, and recording works."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from flows.factories import path_of
from tests.dispatchers import backup_dispatcher, volume_dispatcher
from tests.journals import recording
from tests.journals.cases import CASES
from tests.journals.interruption import Interruption, run_case
from tests.journals.make import make
from tests.journals.recording import Recording
from tests.journals.service import Databases
from worker import endpoints

ALIASES = {"failover_host"}
"""Former names of methods."""


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    made = Databases(tmp_path_factory.mktemp("cases"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("kind", "methods"),
    [("volume", volume_dispatcher().journalled), ("backup", backup_dispatcher().journalled)],
    ids=["volume", "backup"],
)
def test_every_method_that_starts_a_flow_has_a_case(kind: str, methods: frozenset[str]) -> None:
    assert {case.method for of, case in CASES if of == kind} == methods - ALIASES


def test_every_flow_that_an_endpoint_starts_has_a_case() -> None:
    known = {path_of(case.factory) for _kind, case in CASES}

    assert set(started()) == known


@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=[f"{kind}, {case.name}" for kind, case in CASES]
)
def test_a_case_that_is_not_interrupted_succeeds(number: int, databases: Databases) -> None:
    kind, case = CASES[number]

    service, flow = run_case(databases, kind, case, f"b{number}", Interruption())
    service.close()

    assert databases.journal.load(flow).state == "SUCCESS"


def test_a_version_is_recorded(tmp_path: Path) -> None:
    cases = [(kind, case) for kind, case in CASES if case.name == "freeze"]

    make(tmp_path / "1.0", cases)

    found = Recording.load(tmp_path / "1.0")
    assert set(found.factories) == {path_of(case.factory) for _kind, case in cases}
    assert {entry.ended for entry in found.entries} == {"SUCCESS", "REVERTED"}
    assert {path.name for path in (tmp_path / "1.0").iterdir()} == {
        recording.ENTRIES,
        *recording.DUMPS.values(),
    }


def started() -> Iterator[str]:
    """Yield the paths of the flow factories that the modules of endpoints name."""
    for found in pkgutil.iter_modules(endpoints.__path__, f"{endpoints.__name__}."):
        module = importlib.import_module(found.name)
        source = Path(str(module.__file__)).read_text()
        for alias, flows in vars(module).items():
            if isinstance(flows, ModuleType) and flows.__name__.startswith("flows."):
                for factory in factories(flows):
                    if re.search(rf"\b{alias}\.{factory}\b", source):
                        yield f"{flows.__name__}:{factory}"


def factories(module: ModuleType) -> Iterator[str]:
    """Yield the names of a module's flow factories."""
    for name, found in vars(module).items():
        if name.startswith("_") or not inspect.isfunction(found):
            continue
        if str(found.__annotations__.get("return", "")).endswith("Flow"):
            yield name
