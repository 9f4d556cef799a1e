# SPDX-License-Identifier: Apache-2.0
"""Time limits of operations, and the end of those that exceed them.

An operation with a limit runs on a thread of its own. When its time is over it is reverted
at its next task boundary. Where the thread hangs in its driver, or in a data transfer, the
operation is reverted without it, as no thread can be ended from outside; the effects of the
hung call are reverted when it returns.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from flows.engine.flow_run import FlowRun
from flows.errors import OperationTimedOut, ThreadAbandoned
from worker.execution.concurrency import AbandonableThread, Limiter

LOG = logging.getLogger(__name__)

PAUSE = 0.25
"""Seconds between two checks of an operation that has a limit."""

ANY = "*"
"""In ``operation_timeout``: every operation that is not named."""

T = TypeVar("T")


@dataclass(frozen=True)
class OperationTimeouts:
    """The time limits of a backend's operations.

    :param by_method: seconds for each method; 0 for no limit.
    :param stall: seconds that a data transfer may make no progress; 0 for no limit.
    :param stall_reverts: whether a stalled operation is reverted, or only reported.
    """

    by_method: Mapping[str, int] = field(default_factory=dict)
    stall: float = 0.0
    stall_reverts: bool = False

    @classmethod
    def of(cls, configuration: Any) -> OperationTimeouts:
        """Read the options of a backend."""
        return cls(
            configuration.operation_timeout or {},
            float(configuration.stall_timeout),
            configuration.stall_action == "revert",
        )

    def seconds(self, method: str) -> float:
        """Return the time limit of an operation, 0 for none."""
        return float(self.by_method.get(method, self.by_method.get(ANY, 0)))

    def apply_to(self, method: str) -> bool:
        """Return whether an operation has any limit."""
        return bool(self.seconds(method) or self.stall)


class OperationHung(Exception):
    """The thread of an operation hangs: the operation is to be reverted without it.

    :param cause: the limit that was exceeded.
    """

    def __init__(self, cause: OperationTimedOut) -> None:
        super().__init__(str(cause))
        self.cause = cause


class WatchedOperation(Generic[T]):
    """One attempt at an operation, on a thread of its own.

    :param operation: method and resource, for the log.
    :param work: the attempt.
    :param on_late_return: called on the thread when it returns after it was abandoned.
    """

    def __init__(
        self,
        operation: str,
        flow: FlowRun,
        work: Callable[[], T],
        limiter: Limiter,
        on_late_return: Callable[[], None],
    ) -> None:
        self._operation = operation
        self._flow = flow
        self._work = work
        self._limiter = limiter
        self._on_late_return = on_late_return
        self._state = AbandonableThread()
        self._ended = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="watched", daemon=True)
        self._began = time.monotonic()
        self._reported: set[str] = set()

    def wait(self, timeout: float, stall: float, stall_reverts: bool) -> T:
        """Make the attempt and return its result, or raise its error.

        :raises OperationHung: its time is over, and its thread was abandoned.
        """
        self._thread.start()
        while not self._ended.wait(PAUSE):
            cause = self._overdue(timeout) or self._stalled(stall, stall_reverts)
            if cause is not None:
                self._flow.cancel(cause)
                if self._state.abandon():
                    LOG.error("%s is reverted without the thread that hangs in it", self._operation)
                    raise OperationHung(cause)
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _overdue(self, timeout: float) -> OperationTimedOut | None:
        if not timeout or time.monotonic() - self._began < timeout:
            return None
        text = f"it takes longer than the {timeout:.0f} s of operation_timeout"
        self._report("timeout", text)
        return OperationTimedOut(text)

    def _stalled(self, stall: float, reverts: bool) -> OperationTimedOut | None:
        step = self._flow.step
        if not stall or step is None or not step.moves_data:
            return None
        still = time.monotonic() - self._flow.changed_at
        if still < stall:
            return None
        text = f"{step.name} has made no progress for the {stall:.0f} s of stall_timeout"
        self._report(step.name, text)
        return OperationTimedOut(text) if reverts else None

    def _report(self, key: str, text: str) -> None:
        """Log an exceeded limit once, with the stack of the thread."""
        if key in self._reported:
            return
        self._reported.add(key)
        frame = sys._current_frames().get(self._thread.ident or 0)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        LOG.error("%s: %s; its thread is here:\n%s", self._operation, text, stack)

    def _run(self) -> None:
        try:
            with self._limiter.abandonable(self._state):
                self._result.append(self._work())
        except ThreadAbandoned:
            took = time.monotonic() - self._began
            LOG.warning("%s: the thread that hung is back after %.0f s", self._operation, took)
            self._on_late_return()
        except BaseException as error:  # noqa: BLE001 - raised again by wait()
            self._error = error
        self._ended.set()
