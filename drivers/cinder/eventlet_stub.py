# SPDX-License-Identifier: Apache-2.0
"""Replace the parts of eventlet that Cinder's modules import by native threads.

Cinder 29 runs with native threads, but still imports eventlet, and here and there
calls it whatever it runs with. Unpatched, the real one is no help: its locks and its
thread pool belong to the thread that used them first. So a module of that name
offers its remaining names. A name that is missing here is an AttributeError or an
ImportError, which names it.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import importlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

_AT_ONCE = 1000
"""Size of a pool of green threads unless the caller gives one."""


class Spawned:
    """Work on a thread of its own; the caller may wait for its result."""

    def __init__(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._done: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(work, args, kwargs), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[..., Any], args: Any, kwargs: Any) -> None:
        try:
            self._done.set_result(work(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - it is the waiting thread's
            self._done.set_exception(error)

    def wait(self) -> Any:
        """Return the result, or raise the exception of the work."""
        return self._done.result()


class GreenPool:
    """Runs so much work at once, and no more."""

    def __init__(self, size: int = _AT_ONCE) -> None:
        self.size = size
        self._free = threading.Semaphore(size)
        self._running: list[Spawned] = []

    def spawn(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Spawned:
        """Run work as soon as there is room."""
        self._free.acquire()

        def counted() -> Any:
            try:
                return work(*args, **kwargs)
            finally:
                self._free.release()

        self._running = [one for one in self._running if not one._done.done()]
        self._running.append(Spawned(counted))
        return self._running[-1]

    spawn_n = spawn

    def waitall(self) -> None:
        """Wait until nothing runs."""
        for one in self._running:
            with contextlib.suppress(Exception):
                one.wait()


class Pool:
    """Items that are made when they are wanted, up to a number, and used again.

    Cinder keeps its SSH connections in one, and reads ``free_items``, ``current_size``
    and ``max_size``.
    """

    def __init__(
        self,
        min_size: int = 0,
        max_size: int = 4,
        order_as_stack: bool = False,
        create: Callable[[], Any] | None = None,
    ) -> None:
        self.min_size, self.max_size = min_size, max_size
        self.order_as_stack = order_as_stack
        self.current_size = 0
        self.free_items: collections.deque[Any] = collections.deque()
        self._changed = threading.Condition()
        self._waiting = 0
        if create is not None:
            self.create = create  # type: ignore[method-assign]
        for _ in range(min_size):
            self.current_size += 1
            self.free_items.append(self.create())

    def create(self) -> Any:
        """Return a new item."""
        raise NotImplementedError

    def get(self) -> Any:
        """Return an item, a new one where there is room, or wait for one."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self.free_items or self.current_size < self.max_size)
            self._waiting -= 1
            if self.free_items:
                return self.free_items.popleft()
            self.current_size += 1
        try:
            return self.create()
        except BaseException:
            with self._changed:
                self.current_size -= 1
                self._changed.notify()
            raise

    def put(self, item: Any) -> None:
        """Give an item back; one too many is dropped."""
        with self._changed:
            if self.current_size > self.max_size:
                self.current_size -= 1
            elif self.order_as_stack:
                self.free_items.appendleft(item)
            else:
                self.free_items.append(item)
            self._changed.notify()

    @contextlib.contextmanager
    def item(self) -> Iterator[Any]:
        """Take an item for the time of a block."""
        taken = self.get()
        try:
            yield taken
        finally:
            self.put(taken)

    def resize(self, new_size: int) -> None:
        """Change how many there may be."""
        with self._changed:
            self.max_size = new_size
            self._changed.notify_all()

    def free(self) -> int:
        """Return how many could be had at once."""
        return len(self.free_items) + self.max_size - self.current_size

    def waiting(self) -> int:
        """Return how many wait."""
        return self._waiting


class NativeThreads:
    """Limits how many calls run at once that eventlet would give to its native threads.

    Each runs on the thread of its caller, which may block; a call within a call never waits.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._running = 0
        self._changed = threading.Condition()
        self._here = threading.local()

    def resize(self, size: int) -> None:
        """Change how many calls may run at once."""
        with self._changed:
            self.size = size
            self._changed.notify_all()

    def execute(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function as soon as there is room."""
        if getattr(self._here, "is_inside", False):
            return work(*args, **kwargs)
        with self._changed:
            self._changed.wait_for(lambda: self._running < self.size)
            self._running += 1
        self._here.is_inside = True
        try:
            return work(*args, **kwargs)
        finally:
            self._here.is_inside = False
            with self._changed:
                self._running -= 1
                self._changed.notify()


NATIVE = NativeThreads(20)
"""The pool of this process; ``backend_native_threads_pool_size`` is its size."""


def proxy(wrapped: Any, autowrap: Any = (), autowrap_names: Any = ()) -> Any:
    """Return the object that eventlet would wrap."""
    return wrapped


def install() -> None:
    """Register the stub as ``eventlet`` in ``sys.modules``."""
    for name, content in _modules().items():
        module = ModuleType(name)
        module.__dict__.update(content)
        module.__path__ = []
        _register(name, module)
    for name in ("threading", "time", "socket", "select", "subprocess", "os"):
        _register(f"eventlet.green.{name}", importlib.import_module(name))
    _register("eventlet.queue", queue)


def _register(name: str, module: ModuleType) -> None:
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)


def _modules() -> dict[str, dict[str, Any]]:
    threads = {
        "sleep": lambda seconds=0: time.sleep(seconds),
        "spawn": Spawned,
        "spawn_n": Spawned,
        "getcurrent": threading.current_thread,
    }
    locks = {"Semaphore": threading.Semaphore, "BoundedSemaphore": threading.BoundedSemaphore}
    return {
        "eventlet": {**threads, **locks, "GreenPool": GreenPool, "monkey_patch": _refuse},
        "eventlet.greenthread": {**threads, "GreenThread": Spawned},
        "eventlet.semaphore": locks,
        "eventlet.greenpool": {"GreenPool": GreenPool},
        "eventlet.pools": {"Pool": Pool},
        "eventlet.tpool": {
            "execute": NATIVE.execute,
            "Proxy": proxy,
            "set_num_threads": NATIVE.resize,
        },
        "eventlet.patcher": {
            "is_monkey_patched": lambda _what: False,
            "original": importlib.import_module,
            "monkey_patch": _refuse,
        },
        "eventlet.green": {},
        "eventlet.wsgi": {"HttpProtocol": object},  # for a server that is never started
    }


def _refuse(*_: Any, **__: Any) -> None:
    raise RuntimeError("this process runs with native threads: eventlet patches nothing here")
