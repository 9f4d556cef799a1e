# SPDX-License-Identifier: Apache-2.0
"""One control plane of Cinder's, and the services under test below it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import require
from tests.servers import Broker, Glance, MariaDB, Servers

if importlib.util.find_spec("cinder") is None or importlib.util.find_spec("cinderclient") is None:
    collect_ignore_glob = ["*test_*.py"]  # of the subfolders too
else:
    from tests.cinder.api.user import User
    from tests.cinder.cloud import Cloud
    from tests.cinder.control import Control
    from tests.cinder.workers import Holdfast, Reference
    from tests.notifications import Notifications


_WITH_GLANCE = {"cloud", "moving"}
"""Fixtures that start it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reference", action="store_true", help="Run Cinder's own services, as the control."
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of the control run the tests without Cinder's services."""
    if not config.getoption("--reference"):
        return
    left_out = [item for item in items if "cloud" not in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install Glance before the time of a test runs: the first time it takes minutes."""
    wanted = [item for item in session.items if _WITH_GLANCE & {*getattr(item, "fixturenames", ())}]
    if wanted and not session.config.option.collectonly:
        Glance.missing()


@pytest.fixture(scope="session")
def cloud(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    require(Broker, MariaDB, Glance)
    control = Control(servers, tmp_path_factory.mktemp("control"))
    kind = Reference if request.config.getoption("--reference") else Holdfast
    workers = kind(control)
    control.write(workers.backends())
    control.start()
    notices = Notifications(control.bus)
    workers.start()
    running = Cloud(control, workers, notices)
    try:
        running.wait_up()
        yield running
    finally:
        workers.kill()
        control.close()
        notices.close()


@pytest.fixture
def user(cloud: Cloud) -> Iterator[User]:
    """A user with a project of their own; a failure shows the ends of the logs."""
    yield cloud.user()
    sys.stdout.write(cloud.workers.tail())


@pytest.fixture
def ours(cloud: Cloud) -> bool:
    """Whether Holdfast is under test, not the control."""
    return bool(cloud.workers.name == "holdfast")
