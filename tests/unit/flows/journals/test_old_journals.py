# SPDX-License-Identifier: Apache-2.0
"""Operations that an earlier version began are resumed, and end as that version ended them.

See :file:`tests/journals/README.rst`, which says how to mend a failure.
"""

from __future__ import annotations

import functools
import importlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from taskflow import states

from flows import factories, former_names
from tests.journals import recording
from tests.journals.recording import Entry, Recording
from tests.journals.service import Databases

VERSIONS = recording.versions()

BY_VERSION = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)


@functools.cache
def of(version: Path) -> Recording:
    return Recording.load(version)


ENTRIES = [
    pytest.param(version, entry, id=f"{version.name}, {entry.name}")
    for version in VERSIONS
    for entry in of(version).entries
]


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Path, Databases]]:
    """The journal of each version, and the database beside it."""
    found = {v: recording.restored(v, tmp_path_factory.mktemp("journal")) for v in VERSIONS}
    yield found
    for databases in found.values():
        databases.close()


@functools.cache
def steps_of(path: str) -> set[str]:
    """Return the names of the steps of a flow."""
    factory = factories.factory_of(path)
    flow = factory(**dict.fromkeys(factories.parameters_of(factory)))
    return {step.name for step, _ in flow.iter_nodes()}


@pytest.mark.parametrize(("version", "entry"), ENTRIES)
def test_an_interrupted_operation_is_resumed(
    version: Path, entry: Entry, journals: dict[Path, Databases]
) -> None:
    databases = journals[version]
    detail = databases.journal.load(entry.flow)
    assert {atom.name for atom in detail} <= steps_of(detail.meta["factory"])

    taken, ended, outcome = recording.resume(databases, entry)

    assert taken == 1, "refused, or its slot holds another operation"
    assert ended == entry.ended
    assert outcome == entry.outcome


@BY_VERSION
def test_each_flow_has_the_steps_that_it_had(version: Path) -> None:
    """A journal stores the names of steps: without its former name a step is run again."""
    lost = {path: set(steps) - steps_of(path) for path, steps in of(version).factories.items()}

    assert not {path: steps for path, steps in lost.items() if steps}


@BY_VERSION
def test_each_error_has_a_present_class(version: Path) -> None:
    """A journal stores the names of an error's classes, from which its status follows."""
    for stored in of(version).errors:
        module, _, name = former_names.ERRORS.get(stored, stored).rpartition(".")
        assert hasattr(importlib.import_module(module), name), stored


@BY_VERSION
def test_each_flow_was_interrupted_before_its_first_step_in_steps_and_undoing(
    version: Path,
) -> None:
    found: dict[str, set[str]] = {path: set() for path in of(version).factories}
    with closing(sqlite3.connect(":memory:")) as journal:
        journal.executescript((version / recording.DUMPS["journal.sqlite"]).read_text())
        for path, state in journal.execute(
            "SELECT json_extract(flow.meta, '$.factory'), atom.state FROM flowdetails flow"
            " LEFT JOIN atomdetails atom ON atom.parent_uuid = flow.uuid"
        ):
            found[path].add(state or "accepted")

    one = {path for path, steps in of(version).factories.items() if len(steps) == 1}
    for path, seen in found.items():
        assert {"accepted", states.REVERTING} <= seen, path
        # The journal learns of a flow's first step when the second one begins.
        assert path in one or states.RUNNING in seen, path
