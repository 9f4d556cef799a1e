# SPDX-License-Identifier: Apache-2.0
"""Private parts of taskflow: its serial engine without locks and repeated compilation."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from taskflow import states, storage
from taskflow.engines.action_engine import compiler
from taskflow.engines.action_engine.engine import SerialActionEngine
from taskflow.flow import Flow
from taskflow.persistence.models import FlowDetail

_INSIDE = (states.RUNNING, states.REVERTING)
"""States of a task that was interrupted."""


class CompiledFlow:
    """A flow and its compiled form, used by one engine at a time."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.compiler = compiler.PatternCompiler(flow)
        self.validated: set[frozenset[str]] = set()
        """Sets of arguments that were found to be complete."""

    def tasks(self) -> Iterator[Any]:
        """Yield the tasks in the order of their execution."""
        graph = self.compiler.compile().execution_graph
        for node, attributes in graph.nodes(data=True):
            if attributes["kind"] in compiler.ATOMS:
                yield node


class Engine(SerialActionEngine):  # type: ignore[misc]
    """taskflow's serial engine over a flow that is compiled already."""

    def __init__(self, compiled: CompiledFlow, detail: FlowDetail, backend: Any) -> None:
        super().__init__(compiled.flow, detail, backend, {"gather_statistics": False})
        self._compiler = compiled.compiler
        self._validated_with = compiled.validated

    @property
    def detail(self) -> FlowDetail:
        """The flow detail that this engine writes."""
        return self._flow_detail

    @functools.cached_property
    def storage(self) -> Storage:
        """The storage of this engine, in place of taskflow's."""
        return Storage(self._flow_detail, backend=self._backend, scope_fetcher=self._scopes)

    def _change_state(self, state: str) -> None:
        """Note a state of the flow; one with a task that is not at its end is not reverted.

        taskflow takes a flow for reverted that is suspended before it has repeated the task in
        which it was interrupted: it looks only for tasks that have not begun.
        """
        if state == states.REVERTED and any(one.state in _INSIDE for one in self._flow_detail):
            state = states.SUSPENDED
        super()._change_state(state)

    def validate(self) -> None:
        """Check that each task gets its arguments, once for each set of their names."""
        given = frozenset(self.storage.transients)
        if given in self._validated_with:
            self._validated = True
            return
        super().validate()
        self._validated_with.add(given)

    def _scopes(self, atom_name: str) -> Any:
        return self._runtime.fetch_scopes_for(atom_name) if self._compiled else None


class Storage(storage.Storage):  # type: ignore[misc]
    """taskflow's storage for an engine that one thread runs.

    A serial engine needs no locks. Saving only gathers; the backend writes at task
    boundaries and repeats by itself, so the repetition around each save is left out,
    and so are the two marks of a task's progress that its state implies.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = _NO_LOCK

    @property
    def transients(self) -> Collection[str]:
        """The names of the arguments that were injected."""
        return self._transients.keys()  # type: ignore[no-any-return]

    def _with_connection(self, functor: Any, source: Any, clone: Any) -> Any:
        if isinstance(clone, FlowDetail):
            source.update(self._backend.update_flow_details(clone))
        else:
            source.update(self._backend.update_atom_details(clone))
        return source

    def set_task_progress(self, task_name: str, progress: float, details: Any = None) -> None:
        """Write a task's progress, unless it is that of its begin or end."""
        if details is not None or progress not in (0.0, 1.0):
            super().set_task_progress(task_name, progress, details)


class _NoLock:
    def read_lock(self) -> AbstractContextManager[None]:
        return nullcontext()

    write_lock = read_lock


_NO_LOCK = _NoLock()


def _leave_out_locks() -> None:
    """Let the methods of the storage not even enter the lock: it is a tenth of a flow's time."""
    for name, method in vars(storage.Storage).items():
        takes_lock = getattr(method, "__globals__", {}).get("__name__") == "fasteners.lock"
        if takes_lock and name not in vars(Storage):
            setattr(Storage, name, method.__wrapped__)


_leave_out_locks()


def upgrade_lock(backend: Any) -> Any:
    """Return the lock that the connections of an SQLAlchemy backend share."""
    return backend._upgrade_lock
