# SPDX-License-Identifier: Apache-2.0
"""``holdfast-volume`` whose operations stop at the point that a campaign has named.

Run as a module in place of the service. An operation passes points: it was received,
journalled, acknowledged; before and after each execute and each revert of a step;
before and after each call of the driver; after each write to the database; before
and after its end is written to the journal. No operation or step is named here, so
a new one is covered as it comes. In the directory ``HOLDFAST_POINTS``:

===============  ================================================================
``plans/ID``     the campaign's plan for the operation on resource ID
``passed/ID``    the points that it has passed, a line each
``commits/ID``   its commits, a line each, and ``lost/ID`` after one whose answer was lost
``journal/ID``   the states of its journal entry, a line each, where the plan wants them
``stopped/ID``   it stands at its point now, and stays there until the process ends
``released/ID``  or until the campaign writes this
``chosen/ID``    the driver has its volume backed up by a snapshot, not by a clone
===============  ================================================================
"""

from __future__ import annotations

import collections
import contextvars
import functools
import inspect
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worker.cmd import volume as program  # first: it keeps eventlet out of the process

from taskflow.engines.action_engine import executor as task_executor  # isort: skip
from flows.engine import forward_run  # isort: skip
from taskflow.persistence.models import FlowDetail  # isort: skip

from drivers.interface.errors import VolumeBackendAPIException  # isort: skip
from drivers.volume.local import LocalDriver  # isort: skip
from tests.faults.kill import entries  # isort: skip
from tests.faults.kill.lost_commits import LostCommits, wrap  # isort: skip
from tests.faults.kill.plan import Plan  # isort: skip
from worker.db.database import Database  # isort: skip
from worker.journal.errors import JournalError  # isort: skip
from worker.journal.journal import Journal  # isort: skip
from worker.journal.progress import FlowProgress  # isort: skip
from worker.rpc.operation import Operation  # isort: skip
from worker.compat import oslo_messaging as compat  # isort: skip
from worker.execution import executor  # isort: skip
from worker.execution.pools import resume_pool  # isort: skip
from worker.execution.intake import Intake  # isort: skip
from worker.service import base, volume  # isort: skip
from worker.execution.concurrency import Limiter  # isort: skip

AT_ONCE = 1000
"""Operations that may stand still at the same time."""

_LOOK = 0.1
"""Seconds between two looks of an operation that stands at its point."""

_RESOURCE: contextvars.ContextVar[str] = contextvars.ContextVar("resource", default="")

_CLEARS = ("delete_", "remove_", "terminate_", "detach_", "unmanage")


class Points:
    """Where operations stop.

    :param folder: as the module's table says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._thread = threading.local()
        self._counting = threading.Lock()
        self._plans: dict[str, Plan] = {}
        self._passed: collections.Counter[tuple[str, str]] = collections.Counter()
        self._count: collections.Counter[str] = collections.Counter()
        self.journal: Any = None

    @property
    def current(self) -> str:
        """The resource whose operation this thread carries out."""
        return _RESOURCE.get()

    @property
    def chosen(self) -> bool:
        """Whether that operation is one of the chosen."""
        return (self.folder / "chosen" / self.current).is_file()

    @contextmanager
    def working_on(self, resource: str) -> Iterator[None]:
        """Attribute this thread's work to the operation on a resource."""
        before = _RESOURCE.set(resource)
        try:
            yield
        finally:
            _RESOURCE.reset(before)

    def plan(self) -> Plan:
        """Return the plan of this thread's operation."""
        return (self._plan(self.current) if self.current else None) or Plan()

    def passed(self, name: str, resource: str = "") -> None:
        """Note a point of an operation, this thread's by default; stop there if planned."""
        resource = resource or self.current
        plan = self._plan(resource) if resource else None
        if plan is None:
            return
        with self._counting:  # members of a group are worked on beside one another
            number = self._count[resource]
            self._count[resource] += 1
            point = f"{name}#{self._passed[resource, name]}"
            self._passed[resource, name] += 1
        with (self.folder / "passed" / resource).open("a") as passed:
            passed.write(f"{point}\n")
        if plan.stops(point, number):
            (self.folder / "stopped" / resource).write_text(point)
            released = self.folder / "released" / resource
            while not released.exists():
                time.sleep(_LOOK)

    def record(self, resource: str, journal: Any) -> None:
        """Append the state of the entries of a resource, where the campaign wants them."""
        self.journal = journal
        plan = self._plan(resource) if resource else None
        if plan is not None and plan.record:
            path = Path(journal._engine.url.database)
            state = json.dumps(entries.read(path, resource))
            with (self.folder / "journal" / resource).open("a") as file:
                file.write(f"{state}\n")

    def lost_commit(self) -> str | None:
        """Return the commit of this thread's operation whose answer is to be lost, if it has a
        plan."""
        plan = self._plan(self.current) if self.current else None
        return None if plan is None else plan.lost_commit

    def _plan(self, resource: str) -> Plan | None:
        plan = self._plans.get(resource)
        if plan is None and (path := self.folder / "plans" / resource).exists():
            plan = self._plans[resource] = Plan.load(path)
        return plan


POINTS = Points(Path(os.environ.get("HOLDFAST_POINTS", ".")))


def watch_message_and_journal() -> None:
    """Points around the intake of a message."""
    taken: dict[Any, str] = {}  # casts that are to be acknowledged, with their resources

    def accept(original: Any, self: Journal, unique: str, slot: str, operation: Operation) -> Any:
        resource = operation.resource[1]
        POINTS.passed("received", resource)
        with POINTS.working_on(resource):
            detail = original(self, unique, slot, operation)
        POINTS.passed("journalled", resource)
        return detail

    def together(*_args: Any) -> Any:
        raise JournalError("they are accepted one by one, so that each passes its points")

    def take(original: Any, self: Any, casts: Any) -> None:
        for one in casts:
            acknowledge = one.cast.acknowledge
            while not hasattr(acknowledge, "__self__"):  # the markers have wrapped the cast
                acknowledge = inspect.getclosurevars(acknowledge).nonlocals["cast"].acknowledge
            taken[acknowledge.__self__] = one.operation.resource[1]
        original(self, casts)

    def acknowledge(original: Any, self: compat.Delivery) -> None:
        original(self)
        if resource := taken.pop(self, ""):
            POINTS.passed("acknowledged", resource)

    def finish(original: Any, self: Journal, detail: FlowDetail, *args: Any) -> None:
        resource = detail.meta["resource"][1]
        POINTS.passed("before the journal's end", resource)
        original(self, detail, *args)
        POINTS.passed("after the journal's end", resource)

    def attempt(original: Any, self: Any, run: Any, *args: Any) -> Any:
        with POINTS.working_on(run.operation.resource[1]):
            return original(self, run, *args)

    wrap(Journal, "accept", accept)
    wrap(Journal, "accept_together", together)
    wrap(Intake, "_accept", take)
    wrap(compat.Delivery, "_acknowledge", acknowledge)
    wrap(Journal, "finish", finish)
    wrap(executor.Executor, "_attempt", attempt)


def record_journal() -> None:
    """Keep each state that the journal's entry of an operation has, as the campaign reads it."""

    def accept(original: Any, self: Journal, unique: str, slot: str, operation: Operation) -> Any:
        accepted = original(self, unique, slot, operation)
        POINTS.record(operation.resource[1], self)
        return accepted

    def of_detail(original: Any, self: Journal, detail: FlowDetail, *args: Any, **more: Any) -> Any:
        answer = original(self, detail, *args, **more)
        POINTS.record(detail.meta["resource"][1], self)
        return answer

    def progress(original: Any, self: Journal, detail: FlowDetail) -> FlowProgress:
        POINTS.journal = self  # a process that only resumes accepts nothing
        return original(self, detail)

    def flush(original: Any, self: FlowProgress, **more: Any) -> None:
        original(self, **more)
        POINTS.record(POINTS.current, POINTS.journal)

    wrap(Journal, "accept", accept)
    wrap(Journal, "finish", of_detail)
    wrap(Journal, "progress", progress)
    wrap(FlowProgress, "flush", flush)


def watch_database() -> None:
    """A point after each transaction, and commits whose answer can be lost."""
    LostCommits(POINTS.folder, lambda: POINTS.current, POINTS.lost_commit).install()

    def write(original: Any, self: Database, *args: Any, **kwargs: Any) -> Any:
        answer = original(self, *args, **kwargs)
        POINTS.passed("database written")
        return answer

    wrap(Database, "write", write)
    wrap(Database, "change", write)


def break_steps() -> None:
    """Let the step that a plan names fail, when it is done or instead."""
    on_engine, forward = task_executor._execute_task, forward_run.execute

    def execute(task: Any, arguments: Any, progress_callback: Any = None) -> Any:
        run = functools.partial(on_engine, task, arguments, progress_callback)
        return task_executor.EXECUTED, broken(task, lambda: run()[1])

    def broken(task: Any, run: Callable[[], Any]) -> Any:
        plan = POINTS.plan()
        if plan.broken_step != task.name:
            return run()
        if not plan.broken_at_once:
            run()
        try:
            raise VolumeBackendAPIException(f"{task.name} was broken by the campaign")
        except VolumeBackendAPIException:
            return task_executor.failure.Failure()

    task_executor._execute_task = execute
    forward_run.execute = lambda step, arguments: broken(step, lambda: forward(step, arguments))


class Replicated(LocalDriver):
    """The local driver, as if it replicated groups."""

    def enable_replication(self, context: Any, group: Any, volumes: Any) -> Any:
        return None, None

    def disable_replication(self, context: Any, group: Any, volumes: Any) -> Any:
        return None, None

    def failover_replication(self, context: Any, group: Any, volumes: Any, target: Any) -> Any:
        return None, None


class Choosing(Replicated):
    """The same, with volumes in use that are backed up by a snapshot where a case wants it."""

    def backup_use_temp_snapshot(self) -> bool:
        return POINTS.chosen


class Driver(Choosing):
    """The local driver, with a point before and after each call, and calls that fail."""


_ASKED_OF_NO_STORE = ("for_request", "limits")
"""Methods that neither read nor change data: they may be called for an operation that has ended."""


def watch_driver(driver: type, base: type, error: type[Exception]) -> None:
    """Give a driver's class points around each public method, which may fail.

    :param error: the exception of a broken method.
    """
    for name in (name for name in dir(base) if not name.startswith("_")):
        if inspect.isfunction(getattr(base, name)) and name not in _ASKED_OF_NO_STORE:
            setattr(driver, name, _watched(getattr(base, name), error))


def _watched(original: Callable[..., Any], error: type[Exception]) -> Callable[..., Any]:
    name = original.__name__

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        broken = POINTS.plan().broken_call == name
        POINTS.passed(f"before driver.{name}")
        # A method that creates fails afterwards, a method that removes fails before.
        if not (broken and name.startswith(_CLEARS)):
            answer = original(self, *args, **kwargs)
        if broken:
            raise error(f"{name} was broken by the campaign")
        POINTS.passed(f"after driver.{name}")
        return answer

    return method


watch_driver(Driver, Choosing, VolumeBackendAPIException)


def changed(detail: FlowDetail, step: str, state: str) -> None:
    """Note a point for each change of a step's state."""
    POINTS.passed(f"{step} {state}", detail.meta["resource"][1])


def watch_service() -> None:
    """Watch all that both services have."""
    watch_message_and_journal()
    record_journal()
    watch_database()
    break_steps()
    # A stopped operation occupies a thread and a slot: the others must get past.
    resume_pool.THREADS = AT_ONCE
    resume_pool.SUSPECT_TIME = 0.01
    base.Limiter = lambda: Limiter(AT_ONCE)  # type: ignore[assignment,misc]


def main() -> None:
    """Serve."""
    watch_service()
    volume.service = functools.partial(volume.service, observer=changed)
    program.main()


if __name__ == "__main__":
    # The driver is loaded by its name: it must find these points, not another module's.
    import sys

    sys.modules["tests.faults.kill.victim"] = sys.modules["__main__"]
    main()
