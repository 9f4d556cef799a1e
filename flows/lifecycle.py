# SPDX-License-Identifier: Apache-2.0
"""Common parts of operations: statuses, steps, and the reverts of steps.

Reverts run backwards, so the first step's revert runs last and alone writes the
failure status. A revert that raised would stop all reverts before it, so no
revert of a :class:`Step` ever raises: the error is logged and the next one runs.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from taskflow import task
from taskflow.types.failure import Failure

from flows import errors, repeat, storable_errors
from flows.claims import Claim

LOG = logging.getLogger(__name__)

UNDO_FAILED = "undo_failed"
"""Key of a revert's result where it raised: class and text of the error."""

OUTAGE_WAIT_FIRST, OUTAGE_WAIT_MAX = 0.5, 15.0
"""First and longest pause between two attempts while a service is away, in seconds."""


@dataclass(frozen=True)
class Statuses:
    """The statuses that an operation starts from, and those that it writes.

    :param during: the statuses on arrival, the most common first (spec/volume-rpc §1.2).
    :param success: the status at the end; None where the resource gets back an earlier one.
    :param failure: error class to status, the most specific first.
    :param by_task: name of the task that failed to status, where that decides.
    :param unmarked: whether ``during`` alone proves the claim (:class:`flows.claims.Claim`).
    """

    during: tuple[str, ...]
    success: str | None = None
    failure: Mapping[type[BaseException], str] = field(default_factory=dict)
    by_task: Mapping[str, str] = field(default_factory=dict)
    unmarked: bool = False

    def after(self, failure: Failure, tasks: Collection[str] = ()) -> str:
        """Return the status that a failure leads to.

        Matches by class name, as a failure that was read back from the journal
        no longer has its class.

        :param tasks: names of the tasks that failed.
        :raises KeyError: the table has no line for it, which is a bug in the table.
        """
        for task_name, status in self.by_task.items():
            if task_name in tasks:
                return status
        for error, status in self.failure.items():
            if failure.check(error):
                return status
        raise KeyError(f"no failure status for {failure}")

    @property
    def done(self) -> str:
        """The status after a success, in a table that has one."""
        assert self.success is not None, self
        return self.success

    @property
    def failed(self) -> str:
        """The status after an error that has no line of its own."""
        return self.failure[Exception]

    @property
    def failures(self) -> tuple[str, ...]:
        """All statuses after a failure."""
        return tuple(dict.fromkeys([*self.by_task.values(), *self.failure.values()]))


class Step(task.Task):  # type: ignore[misc]
    """One task of an operation.

    ``execute`` may be run again after a kill, so it is idempotent; its docstring
    says why. ``second_try_is_safe = False`` makes an interrupted execute be
    reverted instead. An outage of the database is waited for, in either
    direction, and never fails the operation.
    """

    second_try_is_safe: ClassVar[bool] = True

    moves_data: ClassVar[bool] = False
    """Whether it moves a volume's data, so that it should make progress."""

    only_notifies: ClassVar[bool] = False
    """Whether it only notifies of the earlier steps, which are not reverted any more."""

    bookkeeping: bool = False
    """Whether it touches rows by compare-and-set, notifies or reads, and nothing else.

    Any other step begins only when the journal has it on the disk, and is neither run again
    nor reverted after the operation has ended (see :mod:`flows.claims`).
    """

    passed_over: ClassVar[bool] = False
    """Whether it is left out, with None as its result, where a later step has begun.

    For a step whose result later ones need, and which earlier versions did not have: the engine
    would run it beside the interrupted one, which would not get the result.
    """

    runs_after_end: ClassVar[bool] = False
    """Whether a resumed flow runs it although the operation has ended.

    It touches only temporary objects of the operation. It runs if the steps before it that
    are no bookkeeping have run; an argument that no earlier step has provided is None.
    """

    def remove_temporary(self, ctx: Any, known: Mapping[str, Any], begun: Collection[str]) -> None:
        """Remove temporary objects of an interrupted operation that has lost its claim.

        Called of each step of a flow that has begun, when a resumed flow finds that its resource
        is in another status: the operation has ended, or an administrator has changed it after
        a kill. May repeat.

        :param known: the arguments of the flow, and results of its steps.
        :param begun: names of the steps that have begun.
        """

    task_name: ClassVar[str]
    """Name of the task in the journal and in listings, unless an instance has its own."""

    def __init_subclass__(cls, task: str | None = None, **kwargs: Any) -> None:
        """:param task: the task's name; from the name of the class if not given."""
        super().__init_subclass__(**kwargs)
        cls.task_name = task or _snake(cls.__name__)
        if "execute" in cls.__dict__:
            execute = cls.__dict__["execute"]
            if cls.claim is not Step.claim:
                execute = _claiming(execute)
            cls.execute = _persistent(_contained(execute))
        if "revert" in cls.__dict__:
            cls.revert = _undo(_persistent(_while_claimed(cls.__dict__["revert"])))

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name or self.task_name, **kwargs)

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Return the claim of the operation; called for the first step of a flow only.

        None: the operation changes no data, so that its repetition harms none.

        :param args: the arguments of the flow.
        """
        return None

    def reopen(self, ctx: Any, args: Mapping[str, Any]) -> None:
        """Make an operation that failed possible once more, when an operator asks for it.

        The first step of an operation that writes a failure status takes it back here.

        :raises FlowError: the resource is not as the failure left it.
        """


def failed_itself(result: Any) -> bool:
    """Return whether the step that is being reverted is the one that failed."""
    return isinstance(result, Failure)


def was_refused(result: Any) -> bool:
    """Return whether the first step refused the resource: the operation does not own it.

    A step that was interrupted, or met a bug, refused nothing: the resource waits
    for an end.
    """
    return failed_itself(result) and bool(result.check(errors.Invalid, errors.NotFound))


def was_interrupted(result: Any) -> bool:
    """Return whether the step that is being reverted was interrupted, and how far is unknown."""
    return isinstance(result, Failure) and bool(result.check(errors.OperationInterrupted))


def cause_of(flow_failures: Mapping[str, Failure]) -> Failure:
    """Return the failure that started the reverts."""
    for failure in flow_failures.values():
        return failure
    return Failure.from_exception(errors.OperationInterrupted("the operation was reverted"))


def reason(failure: Failure) -> str:
    """Return a failure's text, or its class where it has none."""
    return str(failure.exception_str or "").strip() or error_name(failure)


def error_name(failure: Failure) -> str:
    """Return the class of a failure's error, without its module."""
    return str(next(iter(failure))).rsplit(".", 1)[-1]


def _claiming(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Write the mark of the operation when its first step has accepted the resource."""

    @functools.wraps(execute)
    def claiming(self: Step, *args: Any, **kwargs: Any) -> Any:
        result = execute(self, *args, **kwargs)
        ctx = kwargs["ctx"]
        if ctx.claim is not None:
            ctx.claim.take(ctx)
        return result

    return claiming


def _contained(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Replace exceptions that the journal cannot store: a driver may raise anything."""

    @functools.wraps(execute)
    def contained(self: Step, *args: Any, **kwargs: Any) -> Any:
        try:
            return execute(self, *args, **kwargs)
        except (errors.Unavailable, errors.RunInterrupted):
            raise
        except BaseException as error:
            _require_running_process(error, kwargs.get("ctx"))
            kept = storable_errors.storable(error, self.name)
            if kept is error:
                raise
            raise kept  # noqa: B904 - it has its cause, as far as that can be stored

    return contained


def _require_running_process(error: BaseException, ctx: Any) -> None:
    """Raise an error that the stop of the process has caused as an interruption.

    A step that ends because of the stop may raise another error in its clean-up. A step that
    was abandoned meets closed connections.

    :raises RunInterrupted: the step is repeated at the next start.
    """
    cause = error.__context__
    while cause is not None:
        if isinstance(cause, errors.RunInterrupted):
            raise cause
        cause = cause.__context__
    if ctx is not None and ctx.abandoned():
        raise errors.ProcessStopping(f"the process has stopped: {error}") from error


def _persistent(method: Callable[..., Any]) -> Callable[..., Any]:
    """Repeat a step while the database is away, until it succeeds or the process stops.

    A repeated step runs with ``resumed``, so it removes the remains of the first attempt.
    """

    @functools.wraps(method)
    def persistent(self: Step, *args: Any, **kwargs: Any) -> Any:
        log = repeat.first_only(
            lambda error, _pause: LOG.warning("%s waits and tries again: %s", self.name, error)
        )

        def failed(error: BaseException, pause: float) -> None:
            log(error, pause)
            kwargs["ctx"] = dataclasses.replace(kwargs["ctx"], resumed=True)

        return repeat.until_stopped(
            lambda: method(self, *args, **kwargs),
            lambda pause: bool(kwargs["ctx"].stopping.wait(pause)),
            on=errors.Unavailable,
            first=OUTAGE_WAIT_FIRST,
            longest=OUTAGE_WAIT_MAX,
            failed=failed,
        )

    return persistent


def _while_claimed(revert: Callable[..., Any]) -> Callable[..., Any]:
    """Revert nothing of an operation that has ended, and was resumed for its bookkeeping only."""

    @functools.wraps(revert)
    def while_claimed(self: Step, *args: Any, **kwargs: Any) -> Any:
        ctx = kwargs.get("ctx")
        claim = getattr(ctx, "claim", None)
        if claim is not None and claim.is_lost(ctx):
            LOG.warning("%s of %s is not reverted: the operation has ended", self.name, claim.claim)
            return None
        return revert(self, *args, **kwargs)

    return while_claimed


def _undo(revert: Callable[..., Any]) -> Callable[..., Any]:
    """Log a revert's exception and continue with the reverts before it.

    taskflow hands ``result`` and ``flow_failures`` to every revert; one that does
    not name them is called without.
    """
    parameters = inspect.signature(revert).parameters
    offered = {"result", "flow_failures"} - parameters.keys()

    @functools.wraps(revert)
    def undo(self: Step, *args: Any, **kwargs: Any) -> Any:
        try:
            wanted = {name: value for name, value in kwargs.items() if name not in offered}
            return revert(self, *args, **wanted)
        except errors.RunInterrupted:
            raise
        except BaseException as error:  # noqa: BLE001 - the reverts before it must run
            _require_running_process(error, kwargs.get("ctx"))
            text = storable_errors.text_of(error)
            shown = storable_errors.traceback_of(error)
            # A handler may read the error itself, so its arguments have no secrets any more.
            masked = storable_errors.storable(error, self.name)
            LOG.error("%s could not be reverted: %s", self.name, text, exc_info=masked)
            return {UNDO_FAILED: f"{type(error).__name__}: {text}", "traceback": shown}

    # taskflow reads the signature to find the arguments of the revert.
    undo.__signature__ = inspect.signature(revert)  # type: ignore[attr-defined]
    return undo


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
