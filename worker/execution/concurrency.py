# SPDX-License-Identifier: Apache-2.0
"""Limit how many threads run Python code at once; threads in blocking calls do not count.

A backend that takes a second for a call needs many operations at a time, so there are many
threads. Python runs one of them at a time, and dozens that compete for it spend a third of
the processor on switching. So a thread waits for the limiter before it runs a flow, and
leaves it for each call of a driver or of another service.
"""

from __future__ import annotations

import functools
import io
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar, cast

from drivers.interface.errors import VolumeBackendAPIException
from flows.errors import RunInterrupted, ThreadAbandoned
from flows.storable_errors import text_of
from worker.call_log import logged_call
from worker.metrics.definitions import DRIVER_ERRORS, DRIVER_SECONDS
from worker.metrics.measurements import MEASURED
from worker.spans.traces import TRACES

THREADS = 4
"""Threads that run at once; more than one, because they wait for the database meanwhile."""

RESERVED = 1
"""Further threads that run at once, of calls only."""


class AbandonableThread:
    """A thread whose operation may end without it while it is in a blocking call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocked = False
        self._abandoned = False

    def enter_call(self) -> None:
        """Note the start of a blocking call. :raises ThreadAbandoned: it was abandoned."""
        with self._lock:
            self._check()
            self._blocked = True

    def leave_call(self) -> None:
        """Note the end of a blocking call. :raises ThreadAbandoned: it was abandoned in it."""
        with self._lock:
            self._blocked = False
            self._check()

    def abandon(self) -> bool:
        """End the operation without this thread if it is in a call; return whether it is."""
        with self._lock:
            self._abandoned = self._blocked
            return self._abandoned

    def _check(self) -> None:
        if self._abandoned:
            raise ThreadAbandoned("the operation ended without this thread")


class _WaitingThreads:
    """Threads that wait for a place: those that had one before come first.

    An operation that has begun ends before others begin, so that few of many operations have
    locks and memory at a time.
    """

    def __init__(self) -> None:
        self._begun: deque[threading.Lock] = deque()
        self._new: deque[threading.Lock] = deque()

    def __len__(self) -> int:
        return len(self._begun) + len(self._new)

    def add(self, turn: threading.Lock, begun: bool) -> None:
        """Let a thread wait for the release of its lock."""
        (self._begun if begun else self._new).append(turn)

    def pop(self) -> threading.Lock:
        """Take out the lock of the thread that is next."""
        return (self._begun or self._new).popleft()


class Limiter:
    """The threads that run Python code now.

    :param threads: how many may run at once.
    :param reserved: further places, which only calls take: a call waits for no cast.
    """

    def __init__(self, threads: int = THREADS, reserved: int = RESERVED) -> None:
        self._guard = threading.Lock()
        self._free = threads + reserved
        self._kept = {True: 0, False: reserved}
        """Places that stay free for others, for a call and for any other thread."""
        self._waiting: dict[bool, _WaitingThreads] = {
            True: _WaitingThreads(),
            False: _WaitingThreads(),
        }
        self._local = threading.local()

    @contextmanager
    def running(self, *, call: bool = False, begun: bool = False) -> Iterator[None]:
        """Run code that counts, after a wait for a free place.

        :param call: whether a caller waits for it, so that it may take a reserved place.
        :param begun: whether it goes on with work that had a place before.
        """
        self._local.call = call
        self._acquire(begun=begun)
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def abandonable(self, thread: AbandonableThread) -> Iterator[None]:
        """Let the operation of this thread end without it while it is in a blocking call."""
        self._local.thread = thread
        try:
            yield
        finally:
            self._local.thread = None

    @property
    def is_held(self) -> bool:
        """Whether this thread has a place now."""
        return bool(getattr(self._local, "counted", False))

    @property
    def waiting(self) -> int:
        """How many threads wait for a place."""
        return sum(map(len, self._waiting.values()))

    @contextmanager
    def released(self) -> Iterator[None]:
        """Make a blocking call, which does not count; a call within it changes nothing.

        A thread that did not count before, as one of a driver, does not count afterwards.

        :raises ThreadAbandoned: the operation ended without this thread meanwhile.
        """
        if getattr(self._local, "blocked", False):
            yield
            return
        thread: AbandonableThread | None = getattr(self._local, "thread", None)
        counted = self.is_held
        if thread is not None:
            thread.enter_call()
        self._local.blocked = True
        if counted:
            self._release()
        try:
            yield
        finally:
            self._local.blocked = False
            if counted:
                self._acquire(begun=True)
            if thread is not None:
                thread.leave_call()

    def _acquire(self, *, begun: bool = False) -> None:
        call = bool(self._local.call)
        with self._guard:
            turn = None
            if self._free > self._kept[call]:
                self._free -= 1
            else:
                turn = threading.Lock()
                turn.acquire()
                self._waiting[call].add(turn, begun)
        if turn is not None:
            turn.acquire()  # released by the thread that hands its place over
        self._local.counted = True

    def _release(self) -> None:
        self._local.counted = False
        with self._guard:
            self._free += 1
            for call in (True, False):
                if self._waiting[call] and self._free > self._kept[call]:
                    self._free -= 1
                    self._waiting[call].pop().release()
                    return


Client = TypeVar("Client")


def blocking(client: Client, limiter: Limiter, *, measured: bool = False) -> Client:
    """Return a client of a foreign system whose calls are blocking calls for the limiter.

    No thread has a place while it waits for a driver, an image service or another service.
    The composition root wraps each of them, and no flow gets one that is not wrapped. So an
    attempt of a client to end the process, or its thread, becomes an error here as well.

    :param measured: whether it is a driver, whose calls are measured.
    """
    return cast(Client, BlockingClient(client, limiter, measured=measured))


@contextmanager
def foreign_code(name: str) -> Iterator[None]:
    """Run code that is not ours: whatever it raises is an ``Exception``.

    A driver may call ``sys.exit``, or let a KeyboardInterrupt or a timeout of its own through
    that is no ``Exception``. It would pass by each handler of a flow, and end a thread.

    :param name: of the call, for the text of the error.
    :raises RunInterrupted: raised by us within the call, as by the progress of a copy.
    :raises VolumeBackendAPIException: in place of an error that is no ``Exception``.
    """
    try:
        yield
    except (Exception, RunInterrupted, GeneratorExit):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _is_main_thread():
            raise  # an operator's, at a command
        kind, text = type(error).__name__, text_of(error)
        raise VolumeBackendAPIException(
            f"{name} raised {kind}{f' ({text})' if text else ''}, which is no Exception"
        ) from error


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class BlockingClient:
    """A client whose methods, and the iterators and contexts they return, block.

    :param client: its attributes that are no methods are returned unchanged.
    """

    def __init__(self, client: Any, limiter: Limiter, *, measured: bool = False) -> None:
        self._client = client
        self._limiter = limiter
        self._measured = measured

    def __getattr__(self, name: str) -> Any:
        label = f"{type(self._client).__name__}.{name}"
        with foreign_code(label):
            found = getattr(self._client, name)
        if not callable(found):
            return found
        client, limiter = self._client, self._limiter
        names = type(client).__name__, name
        run = MEASURED.measured(found, DRIVER_SECONDS, DRIVER_ERRORS, *names)
        work = TRACES.traced(run if self._measured else found, label, name)

        @functools.wraps(found)
        def call(*args: Any, **kwargs: Any) -> Any:
            with (
                limiter.released(),
                foreign_code(label),
                logged_call(client, name, args, kwargs),
            ):
                return _blocking_result(work(*args, **kwargs), limiter, label)

        self.__dict__[name] = call
        return call


def _blocking_result(result: Any, limiter: Limiter, label: str) -> Any:
    """Return an iterator or a context manager that blocks; any other result as it is."""
    if isinstance(result, io.IOBase):
        return result
    if isinstance(result, AbstractContextManager) and hasattr(result, "gen"):
        return _BlockingContext(result, limiter, label)
    return _BlockingIterator(result, limiter, label) if isinstance(result, Iterator) else result


class _BlockingContext(AbstractContextManager[Any]):
    """A context manager made of a generator."""

    def __init__(self, context: AbstractContextManager[Any], limiter: Limiter, label: str) -> None:
        self._context = context
        self._limiter = limiter
        self._label = label

    def __enter__(self) -> Any:
        with self._limiter.released(), foreign_code(self._label):
            return self._context.__enter__()

    def __exit__(self, *error: Any) -> bool | None:
        with self._limiter.released(), foreign_code(self._label):
            return self._context.__exit__(*error)


class _BlockingIterator(Iterator[Any]):
    """An iterator, with the generator's ``close`` where it has one."""

    def __init__(self, iterator: Iterator[Any], limiter: Limiter, label: str) -> None:
        self._iterator = iterator
        self._limiter = limiter
        self._label = label

    def __next__(self) -> Any:
        with self._limiter.released(), foreign_code(self._label):
            return next(self._iterator)

    def close(self) -> None:
        with self._limiter.released(), foreign_code(self._label):
            getattr(self._iterator, "close", lambda: None)()
