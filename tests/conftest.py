# SPDX-License-Identifier: Apache-2.0
"""Servers, buses and databases for whatever test asks for them; native threads for all.

A missing server skips its tests at home; where ``CI`` is set it fails them, so
that a run in which nothing was tested cannot look green.
"""

from __future__ import annotations

import functools
import gc
import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from oslo_context import context as oslo_context

from worker.compat import native_threads  # noqa: F401  # isort: skip

from drivers.compat.oslo_context import bind
from tests.faults.outages.proxy import Link
from tests.functional.service import Service
from tests.servers import Broker, MariaDB, PostgreSQL, Server, Servers
from tests.servers import forked as forked_programs

pytest_plugins = ["tests.length", "tests.leftovers"]

_HAS_FAILED = pytest.StashKey[bool]()
_ENDED = pytest.StashKey[int]()

MODULES = 10
"""After how many modules of tests the objects that are left are kept from the collector."""

DATABASES = ("sqlite", "mysql", "postgresql")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape lone surrogates in a report, with which pytest-xdist ends the whole run.

    A worker of pytest-xdist sends the output of a test only if it failed: it is shown then alone.
    """
    report = yield
    if report.failed:
        item.stash[_HAS_FAILED] = True
    if hasattr(item.config, "workerinput") and not item.stash.get(_HAS_FAILED, False):
        report.sections = []
    report.sections = [(name, _encodable(text)) for name, text in report.sections]
    if report.failed and (shown := str(report.longrepr)) != _encodable(shown):
        report.longrepr = _encodable(shown)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """End the fork server before processes that are left are looked for."""
    forked_programs.end_fork_server()


def _encodable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from the collected tests, which live to the end.

    There are thousands. Each full collection reads every object: 0.4 s each time with them.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Keep the garbage collector from objects that outlive several modules of tests, too.

    Imports and caches of libraries grow to as many objects as there were collected tests.
    """
    done = yield
    if nextitem is not None and nextitem.path != item.path:
        stash = item.config.stash
        stash[_ENDED] = ended = stash.get(_ENDED, 0) + 1
        if ended % MODULES == 0:
            gc.collect()
            gc.freeze()
    return done


def require(*kinds: type[Server]) -> None:
    """Skip, or fail in CI, unless the programs of these servers are installed."""
    for kind in kinds:
        if absent := kind.missing():
            missing(f"{kind.name} is not installed (no {', '.join(absent)}): tox -e functional")


def missing(text: str) -> NoReturn:
    """Skip for want of something that can be installed; in CI, fail."""
    if os.environ.get("CI"):
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


@pytest.fixture(autouse=True)
def mask() -> Iterator[None]:
    """Keep the mask of the process: programs, which tests run within it, set their own."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Keep the level and the handlers of the log, which each later test pays for.

    With debug lines it costs twice the time. Programs, which tests run within this process, log to
    the standard error of their test: a handler that stays prints a traceback for each later line.
    """
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    if root.level != level:  # to set it empties the caches of all loggers
        root.setLevel(level)
    for handler in set(root.handlers).difference(handlers):
        root.removeHandler(handler)


@pytest.fixture(autouse=True)
def request_of_thread() -> Iterator[None]:
    """Keep the request of this thread: a context of oslo.context binds itself when it is made."""
    before = oslo_context.get_current()
    yield
    bind(before)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The private servers of this run; each is started when it is first asked for."""
    # A terminated run unwinds its fixtures, as an interrupted one does.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Servers() as running:
        yield running
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def broker(servers: Servers) -> Iterator[Broker]:
    """The running RabbitMQ; a test that stops it starts it again."""
    require(Broker)
    return servers.broker


@pytest.fixture
def link(broker: Broker) -> Iterator[Link]:
    """The network between a service and RabbitMQ; those who cast go straight."""
    made = Link(broker.port)
    yield made
    made.cut()


@pytest.fixture
def rabbit_url(broker: Broker) -> str:
    """The transport URL of an unused virtual host."""
    return broker.vhost()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """The URL of an empty database, once for each kind of server."""
    return new_database(request.param)


@pytest.fixture
def new_database(servers: Servers, tmp_path: Path) -> Callable[[str], str]:
    """A function from the kind, ``sqlite``, ``mysql`` or ``postgresql``, to an empty database."""
    return functools.partial(empty_database, servers=servers, directory=tmp_path)


def empty_database(kind: str, servers: Servers, directory: Path) -> str:
    """Return the URL of a new database of a kind: ``sqlite``, ``mysql`` or ``postgresql``."""
    if kind == "sqlite":
        return f"sqlite:///{directory / f'{uuid.uuid4().hex}.sqlite'}"
    if kind == "mysql":
        require(MariaDB)
        return servers.mariadb.database()
    require(PostgreSQL)
    return servers.postgresql.database()


@pytest.fixture
def forked() -> bool:
    """Whether services are forked from a process with their modules, which saves the imports."""
    return False


@pytest.fixture
def volume_service(tmp_path: Path, forked: bool) -> Iterator[Callable[..., Service]]:
    """A function that makes a ``Service``; whatever was started is killed at the end.

    When the test failed, the end of each service's log is part of its report.
    """
    made: list[Service] = []

    def make(*args: object, **options: object) -> Service:
        options = {"forked": forked, **options}
        service = Service(tmp_path / f"service-{len(made) + 1}", *args, **options)  # type: ignore[arg-type]
        made.append(service)
        return service

    yield make
    for service in made:
        service.close()
        sys.stdout.write(f"--- {service.directory.name}\n{service.tail()}\n")
