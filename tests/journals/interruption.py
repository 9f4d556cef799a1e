# SPDX-License-Identifier: Apache-2.0
"""Run an operation and interrupt it at one of its steps."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from taskflow.engines.action_engine import executor
from taskflow.types.failure import Failure

from drivers.interface.errors import VolumeBackendAPIException
from flows import errors
from flows.engine import forward_run
from flows.lifecycle import Step
from tests.faults.kill.cases.case import Case
from tests.journals import recording
from tests.journals.cases import CaseWorld
from tests.journals.service import Databases, Service
from worker.journal.entries.insertions import flow_id


class Killed(errors.RunInterrupted):
    """The process was killed."""


@dataclass
class Interruption:
    """Where an operation is interrupted, and how it went until then.

    :param at: ``before``, ``in``, ``before undoing`` or ``undoing``, and the name of a
        step: the process is killed there. ``in`` and ``undoing``: when the step has done
        its work, and the journal does not know of it.
    :param broken: a step that fails when it has done its work, and the class of its error.
    :param stuck: a step whose revert raises.
    :param stop: a step in which the service begins to stop.
    """

    at: tuple[str, str] = ("", "")
    broken: tuple[str, type[BaseException]] | None = None
    stuck: str = ""
    stop: str = ""
    steps: list[Step] = field(default_factory=list)
    """The steps that were executed."""

    checked: set[type[BaseException]] = field(default_factory=set)
    """The error classes by which a failure was judged."""

    @contextmanager
    def applied(self, service: Service) -> Iterator[None]:
        """Apply to each operation of a service that runs meanwhile."""
        execute, revert, check = executor._execute_task, executor._revert_task, Failure.check
        forward = forward_run.execute

        def checking(failure: Failure, *classes: Any) -> Any:
            self.checked.update(one for one in classes if isinstance(one, type))
            return check(failure, *classes)

        # A member of a group is a task as well, inside a step.
        def executing(task: Any, *args: Any, **named: Any) -> Any:
            if not isinstance(task, Step):
                return execute(task, *args, **named)
            return self._execute(service, task, lambda: execute(task, *args, **named))

        def running(step: Step, arguments: Any) -> Any:
            return self._execute(service, step, lambda: ("", forward(step, arguments)))[1]

        def reverting(task: Any, *args: Any, **named: Any) -> Any:
            return self._revert(service, task, lambda: revert(task, *args, **named))

        with (
            mock.patch.object(executor, "_execute_task", executing),
            mock.patch.object(forward_run, "execute", running),
            mock.patch.object(executor, "_revert_task", reverting),
            mock.patch.object(Failure, "check", checking),
        ):
            yield

    def _execute(self, service: Service, step: Step, execute: Callable[[], Any]) -> Any:
        self._kill("before", step)
        event, result = execute()
        self.steps.append(step)
        if self.broken and step.name == self.broken[0]:
            result = Failure.from_exception(_made(self.broken[1]))
        if step.name == self.stop:
            service.executor.suspend()
        self._kill("in", step)
        return event, result

    def _revert(self, service: Service, step: Step, revert: Callable[[], Any]) -> Any:
        self._kill("before undoing", step)
        if step.name == self.stuck:
            with mock.patch.object(service.driver, "delete_volume", _refuse):
                return revert()
        answer = revert()
        self._kill("undoing", step)
        return answer

    def _kill(self, moment: str, step: Step) -> None:
        if (moment, step.name) == self.at:
            raise Killed(f"{moment} {step.name}")


def run_case(
    databases: Databases, kind: str, case: Case, backend: str, interruption: Interruption
) -> tuple[Service, str]:
    """Arrange a case and run it.

    :param kind: of its service, whose name is ``backend``.
    :returns: its service, and the id of its flow.
    """
    with seeded(f"{case.name} {backend}"), recording.clock(recording.INTERRUPTED):
        service = Service(databases, kind, backend, uuid.uuid4().hex)
        world = CaseWorld(service)
        asked = case.arrange(world, service.project)  # type: ignore[arg-type]
        unique = uuid.uuid4().hex
        flow = flow_id(unique)
        with interruption.applied(service):
            world.send(case, asked, unique)
            service.wait(flow)
    return service, flow


@contextmanager
def seeded(text: str) -> Iterator[None]:
    """Have the same ids made up each time."""
    chance = random.Random(text)
    with mock.patch("uuid.uuid4", lambda: uuid.UUID(int=chance.getrandbits(128), version=4)):
        yield


def _refuse(*_: Any) -> None:
    raise VolumeBackendAPIException("the backend is away")


def _made(error: type[BaseException]) -> BaseException:
    if error is errors.StatusChanged:
        return errors.StatusChanged("volume v1", "available", ("creating",))
    return error(f"{error.__name__} on purpose")
