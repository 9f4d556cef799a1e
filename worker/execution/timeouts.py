# SPDX-License-Identifier: Apache-2.0
"""Watch operations that may take too long, and end those that do.

An operation with a limit runs on a thread of its own. When its time is over it is
undone at its next task boundary; where it hangs in its driver, or in a copy, it is
undone without that thread, which nobody can end. What the thread brings about when
it does come back is undone then.
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

from flows.engine import FlowRun
from flows.errors import OperationTimedOut, ThreadAbandoned
from worker.execution.concurrency import Limiter, ThreadGuard

LOG = logging.getLogger(__name__)

PAUSE = 0.25
"""Seconds between two looks at an operation that has a limit."""

ANY = "*"
"""In ``operation_timeout``: every operation that is not named."""

T = TypeVar("T")


@dataclass(frozen=True)
class OperationTimeouts:
    """How long a backend's operations may take.

    :param timeouts: seconds by operation; 0 for no limit.
    :param stall: seconds that moving data may stand still; 0 for no limit.
    :param stall_reverts: whether what stands still is undone, and not only reported.
    """

    timeouts: Mapping[str, int] = field(default_factory=dict)
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
        """Return how long an operation may take, 0 for as long as it likes."""
        return float(self.timeouts.get(method, self.timeouts.get(ANY, 0)))

    def apply_to(self, method: str) -> bool:
        """Say whether an operation is watched at all."""
        return bool(self.seconds(method) or self.stall)


class OperationGivenUp(Exception):
    """An operation is undone without the thread that hangs in it.

    :param cause: why.
    """

    def __init__(self, cause: OperationTimedOut) -> None:
        super().__init__(str(cause))
        self.cause = cause


class WatchedOperation(Generic[T]):
    """One try of an operation, on a thread of its own.

    :param what: method and resource, for the log.
    :param work: the try; run inside the thread.
    :param came_late: called on the thread when it comes back after it was given up.
    """

    def __init__(
        self,
        what: str,
        running: FlowRun,
        work: Callable[[], T],
        turnstile: Limiter,
        came_late: Callable[[], None],
    ) -> None:
        self._what = what
        self._running = running
        self._work = work
        self._turnstile = turnstile
        self._came_late = came_late
        self._fence = ThreadGuard()
        self._ended = threading.Event()
        self._answer: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="watched", daemon=True)
        self._began = time.monotonic()
        self._told: set[str] = set()

    def wait(self, timeout: float, stall: float, stall_reverts: bool) -> T:
        """Run it and return its answer, or raise what it raised.

        :raises GivenUp: its time is over, and its thread does not come back.
        """
        self._thread.start()
        while not self._ended.wait(PAUSE):
            cause = self._overdue(timeout) or self._stalled(stall, stall_reverts)
            if cause is not None:
                self._running.cancel(cause)
                if self._fence.give_up():
                    LOG.error("%s is undone without the thread that hangs in it", self._what)
                    raise OperationGivenUp(cause)
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def _overdue(self, timeout: float) -> OperationTimedOut | None:
        if not timeout or time.monotonic() - self._began < timeout:
            return None
        text = f"it takes longer than the {timeout:.0f} s of operation_timeout"
        self._tell("timeout", text)
        return OperationTimedOut(text)

    def _stalled(self, stall: float, reverts: bool) -> OperationTimedOut | None:
        step = self._running.step
        if not stall or step is None or not step.moves_data:
            return None
        still = time.monotonic() - self._running.moved
        if still < stall:
            return None
        text = f"{step.name} has made no progress for the {stall:.0f} s of stall_timeout"
        self._tell(step.name, text)
        return OperationTimedOut(text) if reverts else None

    def _tell(self, once: str, text: str) -> None:
        if once in self._told:
            return
        self._told.add(once)
        frame = sys._current_frames().get(self._thread.ident or 0)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        LOG.error("%s: %s; its thread is here:\n%s", self._what, text, stack)

    def _run(self) -> None:
        try:
            with self._turnstile.fenced(self._fence):
                self._answer.append(self._work())
        except ThreadAbandoned:
            took = time.monotonic() - self._began
            LOG.warning("%s: the thread that hung is back after %.0f s", self._what, took)
            self._came_late()
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            self._error = error
        self._ended.set()
