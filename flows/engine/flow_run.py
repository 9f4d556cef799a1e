# SPDX-License-Identifier: Apache-2.0
"""Run a flow, from its start or on taskflow from where it was interrupted.

A resumed flow runs only while the resource shows its claim (see :mod:`flows.claims`).
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from taskflow import states
from taskflow.exceptions import StorageFailure
from taskflow.persistence.models import FlowDetail
from taskflow.types.failure import Failure
from taskflow.types.notifier import Notifier

from flows import repeat
from flows.claims import HeldClaim, claimed, held_by
from flows.compat.taskflow import Engine
from flows.context import CopyReports, OperationContext
from flows.engine import moved_data
from flows.engine.after_end import EndedOperation
from flows.engine.compiled_flows import RESULT, Shape, compiled
from flows.engine.forward_run import ForwardRun, HandedOver
from flows.engine.moved_data import Transfer
from flows.engine.no_persistence import NO_PERSISTENCE
from flows.engine.run_outcome import Outcome as Outcome  # others look for it here
from flows.engine.run_outcome import outcome_of
from flows.engine.undo import UNDONE, undo
from flows.errors import (
    FlowError,
    OperationDeferred,
    ProcessStopping,
    Unavailable,
)
from flows.factories import Factory
from flows.lifecycle import OUTAGE_WAIT_FIRST, OUTAGE_WAIT_MAX, Step

LOG = logging.getLogger(__name__)

THROTTLE_STEP = 0.5
"""Seconds after which a copy that waits for bandwidth looks whether it is to end."""

T = TypeVar("T")

Observer = Callable[[FlowDetail, str, str], None]
"""Called at every change of a task's state with the flow, the task, the state."""

_AT_REST = (states.PENDING, states.SUCCESS, states.FAILURE)
"""States of the tasks of a flow that an operator may resume."""


class FlowRun:
    """A flow on its engine, from construction to outcome.

    :param require_locks: called at each progress of a copy: returns while the operation has them.
    :param bandwidth: given the bytes that a copy has moved; returns the seconds that it waits now.
    """

    def __init__(
        self,
        factory: Factory,
        args: Mapping[str, Any],
        ctx: OperationContext,
        detail: FlowDetail,
        backend: Any,
        observer: Observer | None = None,
        require_locks: Callable[[], None] = lambda: None,
        bandwidth: Callable[[int], float] = lambda _moved: 0.0,
    ) -> None:
        self._observer = observer
        self._require_locks = require_locks
        self._bandwidth = bandwidth
        self._factory = factory
        self._args = args
        self._outer = ctx
        self._forget()
        self._ctx = replace(
            ctx,
            progress=self._advance,
            copy_reports=CopyReports(self._note_checkpoint, self._wait_for_bandwidth),
            key=_key_of(detail),
            abandoned=lambda: self._is_abandoned,
        )
        self._detail = detail
        self._backend = backend
        self._suspend = threading.Event()
        self._is_abandoned = False
        self._cancelled: FlowError | None = None
        self._steps: Mapping[str, Step] = {}
        self._bookkeeping: frozenset[str] = frozenset()
        self._reverts_once_more = False
        self._last_progress: tuple[str | None, float] | None = None
        self.transfer = Transfer(continues=ctx.resumed)
        """The data that it moves."""
        self.changed_at = time.monotonic()
        """Time of the last begin, end or progress of a step, in monotonic seconds."""

    @property
    def flow(self) -> str:
        """The flow's id."""
        return str(self._detail.uuid)

    @property
    def name(self) -> str:
        """The name of the operation."""
        return str(self._detail.name)

    @property
    def step(self) -> Step | None:
        """The step that is being executed or reverted; None between two."""
        for atom in list(self._detail):
            if atom.state in (states.RUNNING, states.REVERTING):
                return self._steps.get(atom.name)
        return None

    def suspend(self) -> None:
        """Stop at the next task boundary; callable from another thread."""
        self._suspend.set()

    def abandon(self) -> None:
        """Note that the process stops without this run: later errors of its step do not count."""
        self._is_abandoned = True

    def cancel(self, cause: FlowError) -> None:
        """Undo from the next task boundary on; callable from another thread."""
        self._cancelled = cause
        self._suspend.set()

    def run(self, *, revert: FlowError | None = None, reopen: bool = False) -> Outcome:
        """Run to an outcome.

        :param revert: revert the finished steps instead of continuing, for this reason.
        :param reopen: first take back the status of an earlier failure, unless that was
            done before; an outcome of its own where the resource is not as it was left.
        :raises StorageFailure: the journal did not take a write; load and run again.
        """
        try:
            return self._run_to_outcome(revert, reopen)
        finally:
            self._forget()

    def _run_to_outcome(self, revert: FlowError | None, reopen: bool) -> Outcome:
        with compiled(self._factory, self._args) as shape, moved_data.of_thread(self.transfer):
            self._steps, self._bookkeeping = shape.steps, shape.bookkeeping
            self._make_claim(shape)
            self._backend.bookkeeping = shape.bookkeeping
            self._backend.ends_durably = self._claim is None or self._claim.claim.status_stays
            given = {**self._args, "ctx": self._ctx}
            continues = self._ctx.resumed or revert or reopen or any(self._detail)
            if not continues and (outcome := self._run_forward(shape, given)) is not None:
                return outcome
            return self._run_on_engine(shape, given, revert, reopen)

    def _forget(self) -> None:
        """Drop all that refers to this run, which would wait for a collection of garbage."""
        self._ctx = self._outer
        self._claim: HeldClaim | None = None
        self._set_progress: Callable[[str, float], None] = lambda _step, _fraction: None
        self._add_to_meta: Callable[[str, dict[str, Any]], None] = lambda _step, _more: None

    def _run_forward(self, shape: Shape, given: Mapping[str, Any]) -> Outcome | None:
        """Run a new flow without taskflow's engine; return None if the engine has to continue."""
        if shape.line is None or not shape.line.takes(given):
            return None
        run = ForwardRun(shape.line, self._detail, self._backend, given, self._task_changed)
        self._set_progress, self._add_to_meta = run.set_progress, run.add_to_meta
        try:
            run.run(self._suspend.is_set)
            outcome = Outcome("done", result=run.result(RESULT) if shape.has_result else None)
        except HandedOver:
            return None
        except OperationDeferred as deferred:
            run.set_state(states.SUSPENDED)
            return _deferred(deferred)
        except StorageFailure:
            raise
        except Exception as error:  # noqa: BLE001 - as the engine's
            outcome = Outcome("failed", Failure.from_exception(error))
        self._drop_claim()
        return outcome

    def _run_on_engine(
        self, shape: Shape, given: Mapping[str, Any], revert: FlowError | None, reopen: bool
    ) -> Outcome:
        """Run a flow on taskflow's engine from where it is."""
        engine = Engine(shape, self._detail, self._backend)
        engine.storage.inject(given, transient=True)
        engine.atom_notifier.register(Notifier.ANY, self._task_changed)
        self._set_progress = engine.storage.set_task_progress
        self._add_to_meta = engine.storage.update_atom_metadata
        if reopen and (refusal := self._reopen()):
            return Outcome("failed", Failure.from_exception(refusal))
        if self._ctx.resumed and self._has_ended(revert is not None):
            return self._finish_ended(shape)
        if self._ctx.resumed or revert:
            undo(engine, shape, revert)
        try:
            error = self._run(engine)
        except OperationDeferred as deferred:
            engine.storage.set_flow_state(states.SUSPENDED)
            return _deferred(deferred)
        if self._cancelled and engine.storage.get_flow_state() == states.SUSPENDED:
            self._suspend.clear()
            undo(engine, shape, self._cancelled)
            error = self._run(engine)
        outcome = outcome_of(engine, error, shape)
        if outcome.state != "suspended":
            self._drop_claim()
        return outcome

    def _make_claim(self, shape: Shape) -> None:
        claim = shape.first.claim(self._args)
        marks = bool(self._detail.meta and self._detail.meta.get("claims"))
        self._claim = held_by(claim, self._ctx.key, marks=marks)
        self._ctx = claimed(self._ctx, self._claim)

    def _drop_claim(self) -> None:
        """Delete a mark that no status has ended.

        :raises RunInterrupted: the process stops, and the database is away.
        """
        if (claim := self._claim) is not None:
            self._until_available(lambda: claim.drop(self._ctx))

    def _until_available(self, call: Callable[[], T]) -> T:
        """Call the database; an outage is waited for."""
        return repeat.until_stopped(
            call,
            lambda pause: bool(self._ctx.stopping.wait(pause)),
            on=Unavailable,
            first=OUTAGE_WAIT_FIRST,
            longest=OUTAGE_WAIT_MAX,
            failed=repeat.first_only(
                lambda error, _pause: LOG.warning(
                    "%s waits and tries again: %s", self._detail.name, error
                )
            ),
        )

    def _has_ended(self, reverts: bool) -> bool:
        """Return whether the resource shows no claim of this operation any more.

        The claim is not checked where only bookkeeping steps remain: they compare and set, and
        their second attempt notifies again. It is checked before the first revert, if they fail.
        """
        if self._claim is None or self._reverts_once_more:
            return False
        found = {atom.name: atom.state for atom in self._detail}
        undone = any(state in UNDONE for state in found.values())
        begun = undone or found.get(next(iter(self._steps))) == states.SUCCESS
        if begun and self._bookkeeping.issuperset(self._remaining(found, reverts or undone)):
            self._claim.taken = self._claim.number is not None
            self._claim.unchecked = not undone
            return False
        claim = self._claim
        refusal = self._until_available(lambda: claim.refusal(self._ctx, begun=begun))
        if refusal is not None:
            LOG.warning(
                "%s is %s: the operation %s on it has ended before, nothing is touched",
                claim.claim,
                refusal,
                self._detail.name,
            )
        return refusal is not None

    def _remaining(self, found: Mapping[str, str], reverts: bool) -> Iterator[str]:
        """Yield the names of the steps that are still to be run, or to be reverted."""
        done = (states.PENDING, states.REVERTED) if reverts else (states.SUCCESS,)
        for name in self._steps:
            if found.get(name, states.PENDING) not in done:
                yield name

    def _finish_ended(self, shape: Shape) -> Outcome:
        """Run the steps that may run after the end of the operation; return its known outcome."""
        failure = EndedOperation(shape, self._detail, self._ctx, self._args).run()
        if failure is not None:
            return Outcome("failed", failure)
        self._drop_claim()
        return Outcome("done")

    def _reopen(self) -> FlowError | None:
        """Take back the status of the failure; return the reason why that is impossible."""
        if any(atom.state not in _AT_REST for atom in self._detail):
            return None  # it was done before, and the flow has continued since
        first = next(iter(self._steps.values()))
        try:
            first.reopen(self._ctx, self._args)
        except FlowError as refusal:
            if not any(self._detail):
                return refusal
            LOG.info("it is reverted all the same: %s", refusal)
            self._reverts_once_more = True
        else:
            if self._claim is not None:
                self._claim.take(replace(self._ctx, resumed=False))
        return None

    def _task_changed(self, state: str, details: dict[str, Any]) -> None:
        self.changed_at = time.monotonic()
        LOG.debug("%s: task %s is %s", self._detail.name, details["task_name"], state)
        if self._observer is not None:
            self._observer(self._detail, details["task_name"], state)

    def _advance(self, fraction: float) -> None:
        """Note the progress of a step.

        The same fraction again is no progress: a stalled copy may repeat it endlessly.

        :raises FlowError: the operation was cancelled.
        :raises ProcessStopping: it is suspended; the step is repeated at the next start.
        """
        step = self.step
        progress = (step.name if step is not None else None, fraction)
        if progress != self._last_progress:
            self._last_progress = progress
            self.transfer.advance(fraction)
            self.changed_at = time.monotonic()
            if step is not None:
                self._set_progress(step.name, fraction)
        if self._cancelled:
            raise self._cancelled
        self._require_locks()
        if self._suspend.is_set():
            raise ProcessStopping("the service stops: the copy resumes at its next start")

    def _wait_for_bandwidth(self, size: int) -> None:
        """Wait until moved bytes are paid for, or the operation is to end; this is no stall."""
        until = time.monotonic() + self._bandwidth(size)
        while (left := until - time.monotonic()) > 0 and not self._cancelled:
            with self._ctx.waiting():
                if self._suspend.wait(min(left, THROTTLE_STEP)):
                    return
            self.changed_at = time.monotonic()

    def _note_checkpoint(self, fraction: float) -> None:
        """Note the checkpoint of a step: the next attempt continues there."""
        step = self.step
        if step is not None and not self._cancelled:
            # An entry with a progress is a data transfer for listings.
            self._add_to_meta(step.name, {"progress": fraction, "saved": fraction})

    def _run(self, engine: Engine) -> Exception | None:
        if self._observer is not None and self._ctx.resumed:
            # taskflow notifies of no task that it finds in the state that it gives it.
            for atom in list(self._detail):
                if atom.state in (states.RUNNING, states.REVERTING):
                    self._observer(self._detail, atom.name, atom.state)
        try:
            for _state in engine.run_iter():
                if self._suspend.is_set():
                    engine.suspend()
        except StorageFailure:
            raise
        except Exception as error:  # noqa: BLE001 - it is what the flow ended in
            return error
        return None


def run_in_memory(
    factory: Factory,
    args: Mapping[str, Any],
    ctx: OperationContext,
    observer: Observer | None = None,
    **meta: Any,
) -> Outcome:
    """Run a flow that nothing resumes: a call, whose caller waits and tries again.

    :param meta: the meta of the flow detail that the observer gets.
    """
    detail = FlowDetail(factory.__module__, str(uuid.UUID(int=0)))
    detail.meta = meta
    return FlowRun(factory, args, ctx, detail, NO_PERSISTENCE, observer).run()


def _deferred(deferred: OperationDeferred) -> Outcome:
    """Return the outcome of a flow that waits for another operation.

    Its state is that of a flow which an orderly stop suspends: no interruption is counted.
    """
    return Outcome("suspended", waits_for=deferred.lock)


def _key_of(detail: FlowDetail) -> str:
    """Return the key of an operation; another one when an operator has it run once more.

    Between the failure and that request the resource was the user's. So nothing of the run
    that failed holds any more: neither its checkpoints nor its mark.
    """
    reopened = (detail.meta or {}).get("reopened")
    if isinstance(reopened, str):
        return str(uuid.uuid5(uuid.UUID(detail.uuid), reopened))
    return str(detail.uuid)
