# SPDX-License-Identifier: Apache-2.0
"""Two services of one host with ``use_queue_manager``: neither reads the other's replies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.cloud import REQUEST, Cloud, encoded
from tests.functional.operations.migration.pair import host
from tests.functional.service import Service
from tests.servers import Broker, until

EACH = 2
"""Migrations from each of the two backends to the other one."""

HERE, THERE = "h1@b1#b1", "h1@b2#b2"

SECTIONS: dict[str, Any] = {"oslo_messaging_rabbit": {"use_queue_manager": True}}
"""Without lock_path, which the library needs."""


@pytest.mark.lasts(30)
def test_migrations_between_services_of_one_backend_each(
    volume_service: Callable[..., Service], rabbit_url: str, broker: Broker, tmp_path: Path
) -> None:
    """The library numbers reply queues by host and program, and begins anew in each service."""
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    local = {
        name: {"volume_driver": "local", "local_path": tmp_path / name} for name in ("b1", "b2")
    }
    cloud = Cloud(volume_service, rabbit_url, database, tmp_path, local["b1"], **SECTIONS)
    second = volume_service(
        bus=rabbit_url, database=database, backends={"b2": local["b2"]}, sections=SECTIONS
    )
    for service in (cloud.service, second):
        service.start()
    backends = [(HERE, THERE), (THERE, HERE)] * EACH
    moves = {cloud.volume(host=here).id: (here, there) for here, there in backends}

    def send(method: str, version: str, volume_id: str, **args: Any) -> None:
        server = moves[volume_id][0].partition("#")[0]
        target = {"topic": f"cinder-volume.{server}", "server": "h1", "version": version}
        row = cloud.records.volumes.get(volume_id)
        sent = encoded({"volume": row, **args})
        cloud.client(version).prepare(**target).cast(dict(REQUEST), method, **sent)

    for volume_id in moves:
        send("create_volume", "3.0", volume_id)
    for volume_id in moves:
        cloud.wait_status(cloud.records.volumes.get(volume_id), "available")
        columns = {"migration_status": "starting", "previous_status": "available"}
        cloud.records.volumes.update(volume_id, status="maintenance", **columns)
    for volume_id, (_here, there) in moves.items():
        send("migrate_volume", "3.5", volume_id, host=host(there), force_host_copy=True)

    def found(volume_id: str) -> tuple[str, str]:
        row = cloud.records.volumes.get(volume_id)
        return row.host, row.migration_status

    until(lambda: all(found(one)[1] in ("success", "error") for one in moves), 90, "the ends")
    assert [found(one) for one in moves] == [(there, "success") for _, there in backends]
    listed = broker.ctl("list_queues", "-p", rabbit_url.rpartition("/")[2], "name").split()
    replies = {name.rpartition(":")[0] for name in listed if name.startswith("reply_")}
    assert {name.rpartition("-cinder-volume-")[2] for name in replies} == {"h1@b1-0", "h1@b2-0"}
    cloud.close()
