# SPDX-License-Identifier: Apache-2.0
"""Both kinds of hosts serve one queue below cinder-api and cinder-scheduler as released."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cinder.api.user import User, wait
from tests.cinder.clusters.members import CLUSTER
from tests.cinder.clusters.mixed import HOSTS, OURS, THEIRS, MixedCluster
from tests.conftest import require
from tests.servers import Broker, MariaDB, Servers
from tests.servers.several.redis import Redis

MANY = 50
SOME = 10


@pytest.fixture(scope="module")
def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MixedCluster]:
    require(Broker, MariaDB, Redis)
    directory = tmp_path_factory.mktemp("mixed")
    locks = Redis(directory / "redis")
    locks.start()
    made = MixedCluster(servers, locks.url, directory)
    try:
        made.start()
        yield made
    finally:
        made.close()
        locks.close()


@pytest.fixture
def mixed(running: MixedCluster) -> Iterator[MixedCluster]:
    yield running
    sys.stdout.write(running.tail())


@pytest.fixture
def user(mixed: MixedCluster) -> User:
    return User(mixed.control.url, uuid.uuid4().hex)


def created(user: User, count: int) -> list[Any]:
    """Create volumes at once, and wait for them."""
    made = [user.api.volumes.create(1) for _ in range(count)]
    return [user.wait(user.api.volumes, one, "available") for one in made]


def deleted(manager: Any, resources: list[Any]) -> None:
    """Delete resources at once, and wait until they are gone."""
    for one in resources:
        manager.delete(one)
    ids = {one.id for one in resources}
    wait(
        lambda: not ids & {one.id for one in manager.list()},
        lambda: f"left: {[(one.id, one.status) for one in manager.list()]}",
    )


def test_both_hosts_share_the_work(mixed: MixedCluster, user: User) -> None:
    volumes = created(user, MANY)
    hosts = [mixed.host_of(volume) for volume in volumes]
    assert set(hosts) == set(HOSTS)
    snapshots = [user.api.volume_snapshots.create(volume.id) for volume in volumes]
    for snapshot in snapshots:
        user.wait(user.api.volume_snapshots, snapshot, "available")
    assert len(mixed.files()) == 2 * MANY

    deleted(user.api.volume_snapshots, snapshots)
    deleted(user.api.volumes, volumes)
    assert mixed.files() == []


def test_the_api_shows_the_cluster(mixed: MixedCluster, user: User) -> None:
    clusters = mixed.admin.api.clusters
    [shown] = clusters.list(detailed=True)
    assert (shown.name, shown.binary, shown.state) == (CLUSTER, "cinder-volume", "up")
    assert (shown.num_hosts, shown.num_down_hosts, shown.status) == (2, 0, "enabled")
    [volume] = created(user, 1)
    assert mixed.admin.api.volumes.get(volume.id).cluster_name == f"{CLUSTER}#{shown_pool(mixed)}"

    clusters.update(CLUSTER, "cinder-volume", disabled=True, disabled_reason="a test")
    assert clusters.show(CLUSTER, "cinder-volume").disabled_reason == "a test"
    refused = user.api.volumes.create(1)
    user.wait(user.api.volumes, refused, "error")
    clusters.update(CLUSTER, "cinder-volume", disabled=False)
    deleted(user.api.volumes, [refused, volume, *created(user, 1)])


def shown_pool(mixed: MixedCluster) -> str:
    """Return the pool that the scheduler knows of."""
    [pool] = mixed.admin.api.pools.list()
    return str(pool.name.partition("#")[2])


def test_freezing_and_thawing_by_a_host_reach_the_cluster(mixed: MixedCluster, user: User) -> None:
    services = mixed.admin.api.services
    services.freeze_host(HOSTS[OURS])
    assert mixed.shown().frozen
    refused = user.api.volumes.create(1)
    user.wait(user.api.volumes, refused, "error")
    services.thaw_host(HOSTS[OURS])
    assert not mixed.shown().frozen

    deleted(user.api.volumes, [refused, *created(user, 1)])


@pytest.mark.parametrize("host", [THEIRS, OURS])
def test_the_end_of_one_host_is_survived_by_the_other(
    mixed: MixedCluster, user: User, host: str
) -> None:
    before = created(user, SOME)
    mixed.kill(host)
    volumes = created(user, SOME)
    assert {mixed.host_of(volume) for volume in volumes} == set(HOSTS) - {host}
    deleted(user.api.volumes, [*before, *volumes])
    assert mixed.files() == []

    mixed.start_host(host)
    mixed.wait_up(*HOSTS)
    deleted(user.api.volumes, created(user, SOME))


def test_the_work_of_a_dead_host_is_cleaned_up_by_the_other(
    mixed: MixedCluster, user: User
) -> None:
    [volume] = created(user, 1)
    mixed.kill(THEIRS)
    mixed.wait_down(THEIRS)
    mixed.leave_creating(volume, THEIRS)
    cleaning, unavailable = mixed.admin.api.workers.clean(cluster_name=CLUSTER)

    assert [one.host for one in cleaning] == [HOSTS[THEIRS]]
    assert list(unavailable) == []
    user.wait(user.api.volumes, volume, "error")
    mixed.start_host(THEIRS)
    mixed.wait_up(*HOSTS)
    deleted(user.api.volumes, [volume])
