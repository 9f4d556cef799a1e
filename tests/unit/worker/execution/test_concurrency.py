# SPDX-License-Identifier: Apache-2.0
"""Places of threads that run Python code, and clients whose calls leave them."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from drivers.interface.errors import VolumeBackendAPIException
from flows.errors import ProcessStopping, ThreadAbandoned
from worker.execution.concurrency import AbandonableThread, Limiter, blocking

WAIT = 20.0


class Client:
    """A client of a foreign system that notes whether its caller has a place."""

    version = 3

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self.held: list[bool] = []

    def note(self) -> None:
        self.held.append(self._limiter.is_held)

    def ask(self, value: int = 1) -> int:
        self.note()
        return value

    def refuse(self) -> None:
        self.note()
        raise ValueError("no")

    def items(self) -> Iterator[int]:
        self.note()
        yield 1
        self.note()
        yield 2

    @contextlib.contextmanager
    def opened(self) -> Iterator[str]:
        self.note()
        yield "open"
        self.note()

    def file(self) -> io.BytesIO:
        return io.BytesIO(b"x")


@pytest.fixture
def limiter() -> Limiter:
    return Limiter(1, 1)


class TestBlockingClients:
    @pytest.mark.parametrize("use", ["ask", "refuse", "items", "opened"])
    def test_no_caller_has_a_place_in_a_call(self, limiter: Limiter, use: str) -> None:
        raw = Client(limiter)
        client: Any = blocking(raw, limiter)
        with limiter.running():
            with contextlib.suppress(ValueError):
                found = getattr(client, use)()
                if use == "items":
                    assert list(found) == [1, 2]
                elif use == "opened":
                    with found as entered:
                        assert entered == "open" and limiter.is_held
            assert limiter.is_held

        assert raw.held and not any(raw.held)

    def test_other_results_and_attributes_are_unchanged(self, limiter: Limiter) -> None:
        client = blocking(Client(limiter), limiter)

        assert client.ask(7) == 7 and client.version == 3
        assert isinstance(client.file(), io.BytesIO)

    def test_a_call_within_a_call_changes_nothing(self, limiter: Limiter) -> None:
        thread = AbandonableThread()
        with limiter.abandonable(thread), limiter.running():
            with pytest.raises(ThreadAbandoned), limiter.released():
                with limiter.released():
                    assert not limiter.is_held
                assert not limiter.is_held
                assert thread.abandon()  # still in the outer call
            assert limiter.is_held


class LateTimeout(BaseException):
    """A timeout that is no ``Exception``, as some libraries have."""


class Ending:
    """A driver that raises something in each kind of use."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    @property
    def attribute(self) -> int:
        raise self._error

    def call(self) -> None:
        raise self._error

    def items(self) -> Iterator[int]:
        yield 1
        raise self._error

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        raise self._error
        yield

    @contextlib.contextmanager
    def left(self) -> Iterator[None]:
        yield
        raise self._error


USES: dict[str, Callable[[Any], object]] = {
    "attribute": lambda client: client.attribute,
    "call": lambda client: client.call(),
    "items": lambda client: list(client.items()),
    "entered": lambda client: client.entered().__enter__(),
    "left": lambda client: _enter_and_leave(client.left()),
}


def _enter_and_leave(context: contextlib.AbstractContextManager[None]) -> None:
    with context:
        pass


def _raised(use: str, error: BaseException) -> BaseException:
    """Return the error of a use of a driver, on a thread as all operations are."""
    found: list[BaseException] = []

    def run() -> None:
        try:
            USES[use](blocking(Ending(error), Limiter()))
        except BaseException as seen:  # noqa: BLE001 - the test looks at it
            found.append(seen)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(WAIT)
    return found[0]


class TestDriversThatEndTheProcess:
    @pytest.mark.parametrize("use", USES)
    @pytest.mark.parametrize(
        "error", [SystemExit("password=hidden-1"), KeyboardInterrupt(), LateTimeout("5 s")]
    )
    def test_it_is_an_error_of_the_driver(self, use: str, error: BaseException) -> None:
        found = _raised(use, error)

        assert isinstance(found, VolumeBackendAPIException)
        assert f"Ending.{use} raised {type(error).__name__}" in str(found)
        assert "hidden-1" not in str(found)

    @pytest.mark.parametrize("use", USES)
    @pytest.mark.parametrize("error", [ValueError("no"), ProcessStopping("it stops")])
    def test_errors_and_interruptions_of_ours_pass(self, use: str, error: BaseException) -> None:
        assert _raised(use, error) is error

    def test_an_operator_interrupts_a_command(self, limiter: Limiter) -> None:
        with pytest.raises(KeyboardInterrupt):
            blocking(Ending(KeyboardInterrupt()), limiter).call()


class TestPlaces:
    def test_a_call_has_a_place_where_others_wait(self, limiter: Limiter) -> None:
        began, go, done = threading.Event(), threading.Event(), threading.Event()

        def cast() -> None:
            with limiter.running():
                began.set()
                assert go.wait(WAIT)

        def another() -> None:
            with limiter.running():
                done.set()

        threads = [threading.Thread(target=cast), threading.Thread(target=another)]
        threads[0].start()
        assert began.wait(WAIT)
        threads[1].start()
        with limiter.running(call=True):
            assert limiter.is_held and not done.is_set()
        assert not done.is_set()
        go.set()
        for thread in threads:
            thread.join(WAIT)

        assert done.is_set()

    def test_a_call_comes_before_casts_that_wait_longer(self, limiter: Limiter) -> None:
        order: list[str] = []

        def run(name: str, call: bool) -> None:
            with limiter.running(call=call):
                order.append(name)

        threads = []
        with limiter.running(), _elsewhere(limiter):
            for name, call in (("cast", False), ("call", True)):
                threads.append(threading.Thread(target=run, args=(name, call)))
                threads[-1].start()
                while len(limiter._waiting[call]) != 1:
                    threading.Event().wait(0.001)
        for thread in threads:
            thread.join(WAIT)

        assert order == ["call", "cast"]

    def test_an_operation_that_has_begun_comes_before_new_ones(self, limiter: Limiter) -> None:
        order: list[str] = []
        called, answered = threading.Event(), threading.Event()

        def begun() -> None:
            with limiter.running():
                with limiter.released():
                    called.set()
                    assert answered.wait(WAIT)
                order.append("begun")

        def new() -> None:
            with limiter.running():
                order.append("new")

        threads = [threading.Thread(target=begun), threading.Thread(target=new)]
        threads[0].start()
        assert called.wait(WAIT)
        with limiter.running():
            threads[1].start()
            while limiter.waiting < 1:
                threading.Event().wait(0.001)
            answered.set()
            while limiter.waiting < 2:
                threading.Event().wait(0.001)
        for thread in threads:
            thread.join(WAIT)

        assert order == ["begun", "new"]

    def test_no_more_run_than_there_are_places(self) -> None:
        limiter, guard, now, most = Limiter(3, 1), threading.Lock(), [0], [0]

        def run(call: bool) -> None:
            for _ in range(50):
                with limiter.running(call=call):
                    with guard:
                        now[0] += 1
                        most[0] = max(most[0], now[0])
                    with guard:
                        now[0] -= 1

        threads = [threading.Thread(target=run, args=(n % 3 == 0,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)

        assert now == [0] and most[0] <= 4
        assert limiter._free == 4


@contextlib.contextmanager
def _elsewhere(limiter: Limiter) -> Iterator[None]:
    """Have another thread take the place of calls."""
    taken, go = threading.Event(), threading.Event()

    def run() -> None:
        with limiter.running(call=True):
            taken.set()
            assert go.wait(WAIT)

    thread = threading.Thread(target=run)
    thread.start()
    assert taken.wait(WAIT)
    yield
    go.set()
    thread.join(WAIT)
