# SPDX-License-Identifier: Apache-2.0
"""A cluster as Cinder's API and scheduler see it: rows, queue, reports, failover, clean-up.

Source: spec/service §3.1; spec/volume-rpc §8 and *Replication and maintenance*.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.functional.cloud import REQUEST, encoded, heard
from tests.functional.clusters.two_hosts import CLUSTER, HOSTS, THREADS, TwoHosts
from tests.functional.operations.host.test_cleanup import ask, claimed, work
from tests.servers import until
from worker.rpc import objects
from worker.service.startup.late_driver import SET_UP_TIME

MANY = 40


def test_both_hosts_are_members_and_report_under_its_name(hosts: TwoHosts) -> None:
    assert {row.host for row in hosts.rows()} == set(HOSTS)
    assert hosts.cluster().replication_status == "disabled"
    with heard(hosts) as reports:
        hosts.client("3.0").prepare(fanout=True).cast({}, "publish_service_capabilities")

        def senders() -> set[tuple[str, str]]:
            args = [one["args"] for one in reports() if "capabilities" in one["args"]]
            return {(one["host"], one["cluster_name"]) for one in args if "host" in one}

        until(lambda: senders() == {(host, CLUSTER) for host in HOSTS}, 30, "both reports")


def test_casts_of_its_queue_are_done_by_either_host(hosts: TwoHosts) -> None:
    volumes = [hosts.volume() for _ in range(MANY)]
    for volume in volumes:
        hosts.cast("create_volume", volume=volume)
    for volume in volumes:
        hosts.wait_status(volume, "available")
    created = {volume.id: hosts.host_of(volume) for volume in volumes}
    assert set(created.values()) == set(HOSTS)
    by_script = {
        host: {one["id"] for one in script.calls("create_volume")}
        for host, script in zip(HOSTS, hosts.scripts, strict=True)
    }
    for volume in volumes:
        row = hosts.records.volumes.get(volume.id)
        assert volume.id in by_script[created[volume.id]]
        assert row.host == f"{created[volume.id]}#pool"
        assert row.cluster_name == f"{CLUSTER}#pool"
        assert row.service_uuid == hosts.row_of(created[volume.id]).uuid

    # Others do not touch the host, whichever host carries them out.
    for volume in volumes:
        hosts.records.volumes.update(volume.id, status="extending", previous_status="available")
        hosts.cast("extend_volume", volume=volume, new_size=2, reservations=[])
    for volume in volumes:
        hosts.wait_status(volume, "available")
    assert {volume.id: hosts.host_of(volume) for volume in volumes} == created


def test_a_resource_of_another_cluster_is_refused(hosts: TwoHosts) -> None:
    theirs = hosts.volume("deleting", cluster_name="c2@b1#pool")
    hosts.cast("delete_volume", volume=theirs)

    assert "not on c1@b1" in hosts.wait_refused(theirs)
    assert hosts.status(theirs) == "deleting"


def test_a_volume_that_never_joined_is_served_by_its_host(hosts: TwoHosts) -> None:
    volume = hosts.volume(host=f"{HOSTS[1]}#pool", cluster_name=None)
    hosts.cast_to_host(HOSTS[1], "create_volume", volume=volume)
    row = hosts.wait_status(volume, "available")

    assert row is not None
    assert (row.host, row.cluster_name) == (f"{HOSTS[1]}#pool", f"{CLUSTER}#pool")


def test_a_slow_host_leaves_casts_to_the_other(hosts: TwoHosts, tmp_path: Path) -> None:
    """It has no more than it can begin: those that run, and one that the broker delivered."""
    release = tmp_path / "release"
    hosts.other_script.plan(create_volume={"wait_for": str(release)})
    volumes = [hosts.volume() for _ in range(MANY)]
    for volume in volumes:
        hosts.cast("create_volume", volume=volume)
    most = THREADS + 1

    def done() -> int:
        return sum(hosts.status(volume) == "available" for volume in volumes)

    until(lambda: done() >= MANY - most, 60, "the fast host to do the rest")
    calls = hosts.other_script.calls("create_volume")
    taken = {one["id"] for one in calls} & {volume.id for volume in volumes}
    assert 0 < len(taken) <= THREADS
    release.touch()
    for volume in volumes:
        hosts.wait_status(volume, "available")


def test_a_host_that_is_killed_leaves_new_casts_to_the_other(hosts: TwoHosts) -> None:
    hosts.other.kill()
    volumes = [hosts.volume() for _ in range(10)]
    for volume in volumes:
        hosts.cast("create_volume", volume=volume)
    for volume in volumes:
        hosts.wait_status(volume, "available")

    assert {hosts.host_of(volume) for volume in volumes} == {HOSTS[0]}


def test_a_host_whose_driver_is_down_leaves_casts_to_the_other(hosts: TwoHosts) -> None:
    """It would fail each of them at once, and so take most of them."""
    hosts.other.stop()
    hosts.other_script.plan(do_setup={"raise": "DriverError", "text": "no path to the storage"})
    hosts.start_again(hosts.other)
    volumes = [hosts.volume() for _ in range(10)]
    for volume in volumes:
        hosts.cast("create_volume", volume=volume)
    for volume in volumes:
        hosts.wait_status(volume, "available")
    assert {hosts.host_of(volume) for volume in volumes} == {HOSTS[0]}

    position = hosts.other.position()
    hosts.other_script.plan()
    hosts.other.wait_for_log(f"consumes the queue of {CLUSTER}", after=position)


@pytest.mark.parametrize(
    "set_up",
    [
        pytest.param({"raise": "DriverError", "text": "no path to the storage"}, id="fails"),
        pytest.param({"wait_for": "/nonexistent"}, id="hangs", marks=pytest.mark.full),
    ],
)
def test_a_host_whose_driver_is_down_leaves_its_interrupted_operations(
    hosts: TwoHosts, tmp_path: Path, set_up: dict[str, str]
) -> None:
    """It has its slot back before the other host can adopt it, and could resume nothing."""
    release = tmp_path / "release"
    hosts.other_script.plan(create_volume={"wait_for": str(release)})
    volume = hosts.volume(host=f"{HOSTS[1]}#pool")
    hosts.cast_to_host(HOSTS[1], "create_volume", volume=volume)
    until(
        lambda: volume.id in {one["id"] for one in hosts.other_script.calls("create_volume")},
        30,
        "the driver call",
    )
    hosts.other.kill()
    hosts.other_script.plan(do_setup=set_up)
    position = hosts.other.position()
    process = hosts.other.launch()
    until(lambda: hosts.status(volume) == "available", SET_UP_TIME + 60, "the other host")
    until(lambda: process.returncode is not None, 30, "the end of the host")

    assert process.returncode == 1
    assert "leaves its 1 interrupted operations to other hosts" in hosts.other.text(position)
    assert volume.id in {one["id"] for one in hosts.script.calls("create_volume")}
    hosts.other_script.plan()
    hosts.start_again(hosts.other)


def test_a_call_that_was_repeated_elsewhere_is_not_undone(hosts: TwoHosts, tmp_path: Path) -> None:
    """A backup service repeats a call without a reply, and uses the connection at once."""
    release = tmp_path / "release"
    hosts.other_script.plan(initialize_connection={"wait_for": str(release)})
    volume = hosts.volume("backing-up", host=f"{HOSTS[1]}#pool")
    connector = {"host": "backup", "initiator": "iqn.2026-11.org.example:backup"}
    args = {"volume": volume, "connector": connector}
    hosts.call_without_waiting(HOSTS[1], "initialize_connection", **args)
    call = {"method": "initialize_connection", "id": volume.id}.items()
    until(lambda: any(call <= one.items() for one in hosts.other_script.calls()), 30, "the call")
    hosts.other.kill()
    answer = hosts.call("initialize_connection", **args)
    assert answer["data"]["target_lun"] == 1
    hosts.other_script.plan()
    hosts.start_again(hosts.other)

    def states() -> list[str]:
        found = [one for one in hosts.journal().entries() if volume.id in one.resource]
        return sorted(one.state for one in found)

    until(lambda: states() == ["REVERTED", "SUCCESS"], 60, "the end of the first call")
    for script in hosts.scripts:
        undone = {"terminate_connection", "remove_export"}
        assert not [c for c in script.calls() if c.get("id") == volume.id and c["method"] in undone]


def test_calls_that_a_host_has_not_begun_at_its_stop_are_answered_by_the_other(
    hosts: TwoHosts, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    hosts.other_script.plan(initialize_connection={"wait_for": str(release)})
    volume = hosts.volume("in-use", host=f"{HOSTS[1]}#pool")

    def connector(name: str) -> dict[str, str]:
        return {"host": name, "initiator": f"iqn.2026-11.org.example:{name}"}

    first = {"volume": volume, "connector": connector("first")}
    hosts.call_without_waiting(HOSTS[1], "initialize_connection", **first)
    call = {"method": "initialize_connection", "id": volume.id}.items()
    until(lambda: any(call <= one.items() for one in hosts.other_script.calls()), 30, "the call")
    client, position = hosts.client(timeout=60), hosts.other.position()
    with ThreadPoolExecutor(8) as threads:
        answers = [
            threads.submit(
                *(client.call, dict(REQUEST), "initialize_connection"),
                **encoded({"volume": volume, "connector": connector(f"host-{number}")}),
            )
            for number in range(6)
        ]
        received = "received the call initialize_connection"
        until(lambda: received in hosts.other.text(position), 30, "a call at the host")
        stopped = threads.submit(hosts.other.stop, 60.0)
        hosts.other.wait_for_log("leaves initialize_connection to another host", after=position)
        release.touch()

        assert stopped.result() == 0
        assert {one.result()["data"]["target_lun"] for one in answers} == {1}


def test_freezing_and_thawing_reach_the_rows_of_all_hosts(hosts: TwoHosts) -> None:
    for method, state in (("freeze_host", (True, "frozen")), ("thaw_host", (False, ""))):
        assert hosts.call(method) is True
        assert [(row.disabled, row.disabled_reason) for row in hosts.rows()] == [state] * 2


def test_a_failover_is_one_hosts_and_all_hosts_follow(hosts: TwoHosts) -> None:
    services = hosts.records.services
    for row in hosts.rows():
        services.update(row.id, replication_status="failing-over")
    services.update_cluster(CLUSTER, "cinder-volume", replication_status="failing-over")
    hosts.cast("failover", "3.8", secondary_backend_id="second")

    def followed() -> bool:
        return all(script.calls("failover_completed") for script in hosts.scripts)

    until(followed, 30, "both hosts to follow")
    names = ("replication_status", "active_backend_id", "disabled")
    until(
        lambda: all(
            tuple(row[name] for name in names) == ("failed-over", "second", True)
            for row in (*hosts.rows(), hosts.cluster())
        ),
        30,
        "the rows",
    )
    assert [len(script.calls("failover_host")) for script in hosts.scripts].count(1) == 1

    # A host that was down then has a driver for the target, and leaves the cluster as it is.
    hosts.other.stop()
    services.update(hosts.row_of(HOSTS[1]).id, replication_status="enabled", active_backend_id=None)
    hosts.start_again(hosts.other)
    assert hosts.other_script.calls("do_setup")[-1]["active"] == "second"
    assert hosts.cluster().replication_status == "failed-over"
    assert hosts.row_of(HOSTS[1]).replication_status == "failed-over"

    hosts.cast("failover", "3.8", secondary_backend_id="default")

    def is_back() -> bool:
        rows = (*hosts.rows(), hosts.cluster())
        return all(row.replication_status == "enabled" for row in rows)

    until(is_back, 30, "the way back")


def test_a_clean_up_leaves_operations_in_the_journal(hosts: TwoHosts, tmp_path: Path) -> None:
    """Of a host that has died: a row without an operation ends, one with an operation stays."""
    hosts.other.stop()
    dead = hosts.row_of(HOSTS[1]).id
    release = tmp_path / "release"
    hosts.script.plan(create_volume={"wait_for": str(release)})
    busy, left = hosts.volume(), hosts.volume()
    hosts.cast("create_volume", volume=busy)
    running = {"method": "create_volume", "id": busy.id}
    until(
        lambda: any(running.items() <= call.items() for call in hosts.script.calls()), 30, "it runs"
    )
    claimed(hosts, busy, dead)
    claimed(hosts, left, dead)
    ask(hosts, dead)

    hosts.wait_status(left, "error")
    assert hosts.status(busy) == "creating"
    assert work(hosts)[busy.id] == dead
    release.touch()
    hosts.wait_status(busy, "available")


def test_the_least_fields_of_a_volume_name_the_cluster(hosts: TwoHosts) -> None:
    """Messages of ours about it go to the cluster as well."""
    volume = hosts.volume("available", id=str(uuid.uuid4()))

    assert objects.volume(volume)["versioned_object.data"]["cluster_name"] == f"{CLUSTER}#pool"
