# SPDX-License-Identifier: Apache-2.0
"""The server of the locks ends, or gives locks up, while operations hold them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import redis

from tests.faults.outages.proxy import Link
from tests.functional.cloud import REQUEST, encoded
from tests.functional.clusters.two_hosts import CLUSTER, HOSTS, TwoHosts
from tests.servers import until
from tests.servers.several.redis import Redis


def begun(hosts: TwoHosts, method: str, volume_id: str) -> bool:
    wanted = {"method": method, "id": volume_id}.items()
    return any(wanted <= call.items() for script in hosts.scripts for call in script.calls())


def test_operations_wait_for_a_server_that_is_away(
    hosts: TwoHosts, locks: Redis, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    for script in hosts.scripts:
        script.plan(create_volume={"wait_for": str(release)})
    running = hosts.volume()
    hosts.cast("create_volume", volume=running)
    until(lambda: begun(hosts, "create_volume", running.id), 30, "a driver call")
    positions = [service.position() for service in hosts.services]
    locks.kill()
    waiting = [hosts.volume() for _ in range(4)]
    for volume in waiting:
        hosts.cast("create_volume", volume=volume)

    def texts() -> list[str]:
        both = zip(hosts.services, positions, strict=True)
        return [service.text(position) for service, position in both]

    until(lambda: any("the server of the locks is away" in one for one in texts()), 60, "a line")
    release.touch()
    hosts.wait_status(running, "available")  # its last call had begun before
    assert {hosts.status(volume) for volume in waiting} == {"creating"}
    assert not any(begun(hosts, "create_volume", volume.id) for volume in waiting)
    locks.start()
    for volume in waiting:
        hosts.wait_status(volume, "available")
    assert all(one.count("the server of the locks is away") <= 1 for one in texts())
    assert not any("Traceback" in one for one in texts())


def test_a_host_that_is_cut_from_the_server_leaves_the_queue_to_the_other(
    hosts: TwoHosts, way_of_second: Link
) -> None:
    connector = {"host": "a", "initiator": "iqn.2026-11.org.example:a"}
    volumes = [hosts.volume("in-use") for _ in range(8)]
    client, position = hosts.client(timeout=60), hosts.other.position()
    way_of_second.cut()
    with ThreadPoolExecutor(len(volumes)) as threads:
        answers = [
            threads.submit(
                *(client.call, dict(REQUEST), "initialize_connection"),
                **encoded({"volume": volume, "connector": connector}),
            )
            for volume in volumes
        ]
        assert {one.result()["data"]["target_lun"] for one in answers} == {1}
    text = hosts.other.text(position)
    assert f"this host leaves the queue of {CLUSTER} to others" in text
    assert "leaves initialize_connection to another host" in text
    created = [hosts.volume() for _ in range(8)]
    for volume in created:
        hosts.cast("create_volume", volume=volume)
    for volume in created:
        hosts.wait_status(volume, "available")
    assert {hosts.host_of(volume) for volume in created} == {HOSTS[0]}

    way_of_second.mend()
    hosts.other.wait_for_log(f"consumes the queue of {CLUSTER} again", after=position)
    until(lambda: hosts.consumers() == len(HOSTS), 30, "the consumers of both")


def test_no_driver_call_begins_without_the_lock(
    hosts: TwoHosts, locks: Redis, tmp_path: Path
) -> None:
    """Another owner has the key of a lock that an operation had when its first call began."""
    volume = hosts.volume()
    hosts.cast("create_volume", volume=volume)
    hosts.wait_status(volume, "available")
    release = tmp_path / "release"
    for script in hosts.scripts:
        script.plan(remove_export={"wait_for": str(release)})
    hosts.records.volumes.update(volume.id, status="deleting")
    hosts.cast("delete_volume", volume=volume)
    until(lambda: begun(hosts, "remove_export", volume.id), 30, "the first call")
    positions = [service.position() for service in hosts.services]
    keys = redis.Redis(port=locks.port)
    [key] = keys.keys(f"*{volume.id}*lock")
    keys.set(key, "another owner")

    def text() -> str:
        both = zip(hosts.services, positions, strict=True)
        return "".join(service.text(position) for service, position in both)

    until(lambda: "expired; its operation takes it again" in text(), 30, "the loss")
    release.touch()
    until(lambda: "continues when it has its locks again" in text(), 30, "the suspension")
    assert not begun(hosts, "delete_volume", volume.id)
    assert hosts.status(volume) == "deleting"
    keys.delete(key)
    until(lambda: hosts.status(volume) == "gone", 60, "the end of the deletion")
    assert begun(hosts, "delete_volume", volume.id)
