# SPDX-License-Identifier: Apache-2.0
"""Failover, freeze and thaw of a cluster on all its hosts, by cinder-api as released.

Source: spec/service §3.1; spec/volume-rpc, *Replication and maintenance*.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cinderclient import exceptions

from tests.cinder.api.user import User, wait
from tests.cinder.clusters.members import CLUSTER, Members, address
from tests.conftest import require
from tests.scripted.volume_driver import Script
from tests.servers import Broker, MariaDB, Servers
from tests.servers.several.redis import Redis

HOSTS = ("h1", "h2", "h3")
REPLICATED = {
    "stats": {"replication_enabled": True},
    "create_volume": {"return": {"replication_status": "enabled"}},
}
"""Plan of a driver that replicates."""

TARGET = "second"


class Replicated(Members):
    """Three hosts of Holdfast, each with a script for its driver, and a replication target."""

    def __init__(self, servers: Servers, locks: str, directory: Path) -> None:
        self.scripts = {host: Script(directory / f"script-{host}") for host in HOSTS}
        self.plan()
        backend = {
            "volume_driver": "tests.scripted.volume_driver.ScriptedDriver",
            "replication_device": f"backend_id:{TARGET}",
        }
        own = {host: {"script": script.directory} for host, script in self.scripts.items()}
        super().__init__(servers, locks, directory, backend, own)

    def plan(self, *hosts: str, **methods: Any) -> None:
        """Set the plans of hosts, by default of all."""
        for host in hosts or HOSTS:
            self.scripts[host].plan(**REPLICATED, **methods)

    def fail_over(self, target: str, **where: str) -> None:
        """Ask the API for a failover of ``host`` or ``cluster``."""
        body = {**where, "backend_id": target}
        self.admin.api.services._update("/os-services/failover_host", body)

    def wait_state(self, status: str, target: str | None, *hosts: str) -> None:
        """Wait until the cluster and the services of hosts have a replication state."""
        wanted = {name: (status, target) for name in (CLUSTER, *map(address, hosts))}

        def found() -> dict[str, tuple[str, str | None]]:
            rows = {row.host: row for row in self.services()} | {CLUSTER: self.shown()}
            return {n: (r.replication_status, r.active_backend_id or None) for n, r in rows.items()}

        wait(lambda: wanted.items() <= found().items(), lambda: f"{found()}, not {wanted}")

    def wait_called(self, method: str, wanted: list[Any], *hosts: str) -> None:
        """Wait until the drivers of hosts were called with these targets, in order."""

        def called() -> dict[str, list[Any]]:
            return {
                host: [one["active"] for one in self.scripts[host].calls(method)] for host in hosts
            }

        wait(lambda: called() == dict.fromkeys(hosts, wanted), lambda: f"{method}: {called()}")

    def disabled(self) -> dict[str, tuple[str, str | None]]:
        """Return status and reason of each service."""
        return {row.host: (row.status, row.disabled_reason or None) for row in self.services()}

    def count(self, method: str) -> int:
        """Return how often the drivers of all hosts were called."""
        return sum(len(script.calls(method)) for script in self.scripts.values())


@pytest.fixture(scope="module")
def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    require(Broker, MariaDB, Redis)
    directory = tmp_path_factory.mktemp("replicated")
    locks = Redis(directory / "redis")
    locks.start()
    made = Replicated(servers, locks.url, directory)
    try:
        made.start()
        yield made
    finally:
        made.close()
        locks.close()


@pytest.fixture
def cluster(running: Replicated) -> Iterator[Replicated]:
    running.plan()
    for script in running.scripts.values():
        script.forget()
    yield running
    sys.stdout.write(running.tail())


@pytest.fixture
def user(cluster: Replicated) -> User:
    return User(cluster.control.url, uuid.uuid4().hex)


def test_a_failover_by_one_host_is_followed_by_all(cluster: Replicated, user: User) -> None:
    """One host is down meanwhile, and follows at its start; the way back is the cluster's."""
    volumes = [user.volume() for _ in range(4)]
    cluster.kill("h3")
    cluster.wait_down("h3")
    cluster.fail_over(TARGET, host=address("h1"))
    cluster.wait_state("failed-over", TARGET, "h1", "h2")
    cluster.wait_called("failover_completed", [TARGET], "h1", "h2")
    [call] = [c for script in cluster.scripts.values() for c in script.calls("failover_host")]
    assert set(call["volumes"]) == {volume.id for volume in volumes}
    for volume in volumes:
        shown = cluster.admin.api.volumes.get(volume.id)
        assert (shown.status, shown.replication_status) == ("available", "failed-over")
    assert cluster.shown().status == "disabled"
    refused = user.volume(wanted="error")

    cluster.start_host("h3")
    cluster.wait_up(*HOSTS, disabled=True)
    cluster.wait_called("do_setup", [TARGET], "h3")
    cluster.wait_state("failed-over", TARGET, *HOSTS)

    cluster.fail_over("default", cluster=CLUSTER)
    cluster.wait_state("enabled", None, *HOSTS)
    cluster.wait_called("failover_completed", [TARGET, None], "h1", "h2")
    cluster.wait_called("failover_completed", [None], "h3")
    assert cluster.count("failover_host") == 2
    assert cluster.disabled() == dict.fromkeys(map(address, HOSTS), ("enabled", None))
    assert cluster.shown().status == "enabled"
    for volume in (refused, *volumes, user.volume()):
        user.deleted(user.api.volumes, volume)


def test_a_failover_to_no_target_leaves_all_hosts_enabled(cluster: Replicated) -> None:
    cluster.plan(failover_host={"raise": "InvalidReplicationTarget"})
    cluster.fail_over("nowhere", cluster=CLUSTER)
    wait(lambda: cluster.count("failover_host"), lambda: "no driver was asked")

    cluster.wait_state("enabled", None, *HOSTS)
    assert cluster.disabled() == dict.fromkeys(map(address, HOSTS), ("enabled", None))


def test_a_host_that_cannot_follow_is_disabled_alone(cluster: Replicated) -> None:
    cluster.plan("h2", failover_completed={"raise": "DriverError", "text": "no path"})
    cluster.fail_over(TARGET, host=address("h1"))
    cluster.wait_called("failover_completed", [TARGET], *HOSTS)
    cluster.wait_state("failed-over", TARGET, "h1", "h3")

    def states() -> dict[str, str]:
        return {row.host: row.replication_status for row in cluster.services()}

    wait(lambda: states()[address("h2")] == "error", lambda: f"the services are {states()}")
    with pytest.raises(exceptions.BadRequest):
        cluster.fail_over("nowhere", host="h4@shared")

    cluster.plan()
    cluster.fail_over("default", cluster=CLUSTER)
    cluster.wait_state("enabled", None, *HOSTS)
    assert cluster.disabled() == dict.fromkeys(map(address, HOSTS), ("enabled", None))


@pytest.mark.parametrize("where", [{"host": address("h2")}, {"cluster": CLUSTER}], ids=str)
def test_a_frozen_cluster_is_frozen_on_all_hosts(
    cluster: Replicated, user: User, where: dict[str, str]
) -> None:
    services = cluster.admin.api.services
    volume = user.volume()
    services._update("/os-services/freeze", dict(where))
    assert cluster.shown().frozen
    assert cluster.disabled() == dict.fromkeys(map(address, HOSTS), ("disabled", "frozen"))
    assert {row.frozen for row in cluster.services()} == {True}
    with pytest.raises(exceptions.ClientException):
        user.api.volume_snapshots.create(volume.id)

    services._update("/os-services/thaw", dict(where))
    assert not cluster.shown().frozen
    assert cluster.disabled() == dict.fromkeys(map(address, HOSTS), ("enabled", None))
    assert (cluster.count("freeze_backend"), cluster.count("thaw_backend")) == (1, 1)
    user.deleted(user.api.volumes, user.volume())
    user.deleted(user.api.volumes, volume)
