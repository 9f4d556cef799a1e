# SPDX-License-Identifier: Apache-2.0
"""The private parts of taskflow are as ``flows.compat`` uses them."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from taskflow import exceptions, states, storage, task
from taskflow.patterns import linear_flow
from taskflow.persistence.backends import impl_sqlalchemy
from taskflow.persistence.models import FlowDetail

from flows.compat import taskflow as compat


class Noting(task.Task):  # type: ignore[misc]
    """A task that notes its run, and reports its progress."""

    def __init__(self, name: str, ran: list[str]) -> None:
        super().__init__(name)
        self._ran = ran

    def execute(self) -> str:
        self._ran.append(self.name)
        self.update_progress(0.5)
        return self.name


class Backend:
    """A persistence backend that counts its calls."""

    def __init__(self) -> None:
        self.flows = 0
        self.atoms: list[tuple[str, str, Any]] = []

    def update_flow_details(self, detail: FlowDetail) -> FlowDetail:
        self.flows += 1
        return detail

    def update_atom_details(self, detail: Any) -> Any:
        self.atoms.append((detail.name, detail.state, detail.meta.get("progress")))
        return detail


@pytest.fixture
def ran() -> list[str]:
    """The names of tasks that ran."""
    return []


@pytest.fixture
def compiled(ran: list[str]) -> compat.CompiledFlow:
    """A flow of two tasks."""
    flow = linear_flow.Flow("two").add(Noting("first", ran), Noting("second", ran))
    return compat.CompiledFlow(flow)


def run(compiled: compat.CompiledFlow, backend: Backend) -> compat.Engine:
    engine = compat.Engine(compiled, FlowDetail("two", "00000000-0000"), backend)
    for _state in engine.run_iter():
        pass
    return engine


def test_tasks_are_listed_in_order(compiled: compat.CompiledFlow) -> None:
    assert [found.name for found in compiled.tasks()] == ["first", "second"]


def test_a_compiled_flow_runs_more_than_once(compiled: compat.CompiledFlow, ran: list[str]) -> None:
    first, engine = run(compiled, Backend()), run(compiled, Backend())

    assert first.compilation is engine.compilation is compiled.compiler.compile()
    assert ran == ["first", "second"] * 2
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert [atom.state for atom in engine.detail] == [states.SUCCESS] * 2


def test_all_saves_go_to_the_backend_without_a_connection(compiled: compat.CompiledFlow) -> None:
    backend = Backend()
    run(compiled, backend)

    assert backend.flows > 0
    assert {name for name, state, _ in backend.atoms if state == states.SUCCESS} == {
        "first",
        "second",
    }


def test_begin_and_end_are_no_progress_of_their_own(compiled: compat.CompiledFlow) -> None:
    backend = Backend()
    run(compiled, backend)

    assert {progress for _, _, progress in backend.atoms} == {None, 0.5}


def test_an_engine_takes_no_lock(
    compiled: compat.CompiledFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fasteners.ReaderWriterLock.read_lock", None)
    monkeypatch.setattr("fasteners.ReaderWriterLock.write_lock", None)

    run(compiled, Backend())


@pytest.mark.parametrize("name", ["get_atom_state", "set_atom_state", "fetch_mapped_args"])
def test_methods_of_the_storage_do_not_enter_its_lock(name: str) -> None:
    assert getattr(compat.Storage, name) is getattr(storage.Storage, name).__wrapped__


class Needing(task.Task):  # type: ignore[misc]
    """A task that needs an argument."""

    def execute(self, name: str) -> None: ...


def test_arguments_are_checked_once_for_each_set_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    whole = storage.Storage.fetch_unsatisfied_args
    monkeypatch.setattr(
        compat.Storage,
        "fetch_unsatisfied_args",
        lambda *given, **named: checked.append(given[1]) or whole(*given, **named),
    )
    compiled = compat.CompiledFlow(linear_flow.Flow("one").add(Needing("needing")))

    for args in ({"name": "a"}, {"name": "b"}, {}, {"name": "c"}, {}):
        engine = compat.Engine(compiled, FlowDetail("one", "00000000-0000"), Backend())
        engine.storage.inject(args, transient=True)
        before = len(checked)
        if args:
            engine.run()
        else:
            with pytest.raises(exceptions.MissingDependencies):
                engine.run()
        assert (len(checked) > before) is (args.get("name") in (None, "a"))


def test_every_save_passes_a_source_and_a_clone() -> None:
    source = inspect.getsource(storage.Storage)
    calls = re.findall(r"self\._with_connection\(\s*([^)]*?)\s*\)", source)

    assert calls
    for _functor, source_name, clone_name in (re.split(r",\s*", call) for call in calls):
        assert source_name.endswith("source")
        assert clone_name.endswith("clone")


def test_connections_of_a_backend_share_its_lock() -> None:
    backend = impl_sqlalchemy.SQLAlchemyBackend({"connection": "sqlite://"})
    connection = backend.get_connection()

    assert compat.upgrade_lock(backend) is connection._upgrade_lock
