# SPDX-License-Identifier: Apache-2.0
"""Threads that take work of projects in fair turns."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from worker.execution.fairness.fair_queue import FairQueue
from worker.execution.fairness.project_limits import UNLIMITED, ProjectLimits, no_limit

LOG = logging.getLogger(__name__)

_Work = tuple["Future[None] | None", Callable[..., None], tuple[Any, ...]]


class FairExecutor:
    """Threads for the work of many projects.

    Work waits in a fair queue, and a thread gets it when it may run at once.

    :param threads: how much work runs at once.
    :param reserved: further threads, for projects of which nothing runs.
    :param most: returns a limit below ``threads``, at which no further thread is used; 0 for none.
        It is called once, and again by :meth:`limits_changed`: an option takes 50 us to be read,
        and each operation asks several times.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        *,
        reserved: int = 0,
        limits: ProjectLimits = UNLIMITED,
        most: Callable[[], int] = no_limit,
    ) -> None:
        self._executor = ThreadPoolExecutor(threads + reserved, thread_name_prefix=name)
        self._threads, self._most = threads, most
        self._limit = most()
        self._queue: FairQueue[_Work] = FairQueue(
            self.places, lambda: 0 if self._limit else reserved, limits
        )
        self._guard = threading.Lock()
        self._closed = False

    def submit(self, project: str, work: Callable[..., None], *args: Any) -> Future[None]:
        """Run work of a project on a thread when it has its turn; return how it ends.

        :raises RuntimeError: the threads are closed.
        """
        (future,) = self.submit_all([(project, functools.partial(work, *args))])
        return future

    def submit_all(self, works: Iterable[tuple[str, Callable[[], None]]]) -> list[Future[None]]:
        """Run the work of projects as :meth:`submit` does; none begins before all wait for turns.

        :param works: each with its project.
        :raises RuntimeError: the threads are closed.
        """
        items = [(project, (Future[None](), work, ())) for project, work in works]
        self._push(items)
        return [future for _project, (future, _work, _args) in items]

    def start(self, project: str, work: Callable[..., None], *args: Any) -> None:
        """Run work of a project as :meth:`submit` does, without the memory of a future.

        :raises RuntimeError: the threads are closed.
        """
        self._push([(project, (None, work, args))])

    def _push(self, items: Iterable[tuple[str, _Work]]) -> None:
        with self._guard:
            if self._closed:
                raise RuntimeError("no work is taken after the close")
            for project, item in items:
                self._queue.push(project, item)
            self._start()

    def places(self) -> int:
        """Return how much work runs at once, without the further threads."""
        limit = self._limit
        return min(limit, self._threads) if limit else self._threads

    def begins(self, project: str) -> bool:
        """Return whether further work of a project would begin at once."""
        with self._guard:
            return self._queue.begins(project)

    def limits_changed(self) -> None:
        """Apply the limits as they are by now; begin work that waited only because of them."""
        with self._guard:
            self._limit = self._most()
            self._queue.limits_changed()
            if not self._closed:
                self._start()

    def limited_projects(self) -> set[str]:
        """Return the projects whose work waits because of the limit of their project."""
        with self._guard:
            return self._queue.limited_projects()

    def close(self) -> None:
        """Start nothing any more; work that waits is dropped, work that runs continues."""
        with self._guard:
            self._closed = True
            left = self._queue.clear()
        for future, _work, _args in left:
            if future is not None:
                future.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        """Give threads the work that may run now."""
        while (found := self._queue.pop()) is not None:
            self._executor.submit(self._run, *found)

    def _run(self, project: str, item: _Work) -> None:
        future, work, args = item
        try:
            if future is None:
                work(*args)
            elif future.set_running_or_notify_cancel():
                work(*args)
                future.set_result(None)
        except BaseException as error:
            if future is None:
                LOG.exception("work ended in an unexpected error")
            else:
                future.set_exception(error)
        finally:
            with self._guard:
                self._queue.done(project)
                if not self._closed:
                    self._start()
