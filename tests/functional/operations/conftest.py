# SPDX-License-Identifier: Apache-2.0
"""One running service for each database; tests differ by the volumes they make."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import DATABASES, empty_database
from tests.functional.cloud import Cloud
from tests.functional.operations.migration.pair import Pair, second_backend
from tests.functional.service import services
from tests.servers import Broker, Servers


@contextmanager
def running(kind: str, broker: Broker, servers: Servers, directory: Path) -> Iterator[Cloud]:
    """Run a service with a scripted backend on an empty database of a kind."""
    database = empty_database(kind, servers, directory)
    with services(directory, forked=True) as make:
        cloud = Cloud(make, broker.vhost(), database, directory)
        cloud.service.start()
        yield cloud
        cloud.close()


@pytest.fixture(scope="session", params=DATABASES)
def shared_cloud(
    request: pytest.FixtureRequest,
    broker: Broker,
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp(f"cloud-{request.param}")
    with running(request.param, broker, servers, directory) as cloud:
        yield cloud


@pytest.fixture(scope="session", params=DATABASES)
def shared_pair(
    request: pytest.FixtureRequest,
    broker: Broker,
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp(f"pair-{request.param}")
    database = empty_database(request.param, servers, directory)
    second = second_backend(directory)
    with services(directory, forked=True) as make:
        cloud = Cloud(make, broker.vhost(), database, directory, **second)
        pair = Pair(cloud, directory)
        cloud.service.start()
        pair.wait_until_up()
        yield pair
        cloud.close()


@pytest.fixture
def pair(shared_pair: Pair) -> Iterator[Pair]:
    """Two backends with empty scripts; the end of the log is shown with a failure."""
    shared_pair.reset()
    position = shared_pair.cloud.service.position()
    yield shared_pair
    sys.stdout.write(shared_pair.cloud.service.text(position))


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Iterator[Cloud]:
    """The service with an empty script; the end of its log is shown with a failure."""
    shared_cloud.script.plan()
    position = shared_cloud.service.position()
    yield shared_cloud
    sys.stdout.write(shared_cloud.service.text(position))
