# SPDX-License-Identifier: Apache-2.0
"""Two running hosts of a cluster; tests differ by the volumes they make."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import empty_database, require
from tests.faults.outages.proxy import Link
from tests.functional.clusters.two_hosts import TwoHosts
from tests.functional.service import services
from tests.servers import Broker, Servers
from tests.servers.several.redis import Redis


@pytest.fixture(scope="package")
def locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """The running server of locks."""
    require(Redis)
    made = Redis(tmp_path_factory.mktemp("locks") / "redis")
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="package")
def way_of_second(locks: Redis) -> Iterator[Link]:
    """The way of the second host to the server of locks."""
    made = Link(locks.port)
    yield made
    made.cut()


@pytest.fixture(scope="package")
def running_hosts(
    broker: Broker,
    servers: Servers,
    locks: Redis,
    way_of_second: Link,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TwoHosts]:
    directory = tmp_path_factory.mktemp("cluster")
    database = empty_database("mysql", servers, directory)
    journal = empty_database("mysql", servers, directory)
    with services(directory, forked=True) as make:
        urls = (locks.url, locks.url.replace(str(locks.port), str(way_of_second.port)))
        made = TwoHosts(make, broker.vhost(), database, journal, urls, directory)
        made.start()
        yield made
        made.close()


@pytest.fixture
def hosts(running_hosts: TwoHosts, tmp_path: Path) -> Iterator[TwoHosts]:
    """Both hosts, with empty scripts; the ends of their logs are shown with a failure."""
    running_hosts.reset()
    positions = [(one, one.position()) for one in running_hosts.services]
    yield running_hosts
    for service, position in positions:
        sys.stdout.write(f"--- {service.directory.name}\n{service.text(position)}\n")
