# SPDX-License-Identifier: Apache-2.0
"""From Cinder's services to ours and back, on one configuration and with one driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cinder.cloud import Cloud
from tests.cinder.control import Control
from tests.cinder.notices import Notices
from tests.cinder.user import User
from tests.cinder.workers import Holdfast, Reference
from tests.conftest import require
from tests.servers import Broker, Glance, MariaDB, Servers


class _OnTheirDriver(Holdfast):
    """Ours, with the driver that Cinder's services have."""

    driver = Reference.driver
    options = Reference.options


@pytest.fixture
def moving(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """A cloud with Cinder's services, none of which runs yet."""
    if request.config.getoption("--reference"):
        pytest.skip("nothing to move to")
    require(Broker, MariaDB, Glance)
    control = Control(servers, tmp_path_factory.mktemp("moving"))
    workers = Reference(control)
    control.write(workers.backends())
    control.start()
    notices = Notices(control.bus)
    cloud = Cloud(control, workers, notices)
    try:
        yield cloud
    finally:
        cloud.workers.kill()
        control.close()
        notices.close()


def change(cloud: Cloud, kind: type[Any]) -> None:
    """Stop the services that run, and start others in their places."""
    cloud.workers.stop()
    cloud.workers = kind(cloud.control)
    cloud.workers.start()
    cloud.wait_up()


def stuck(cloud: Cloud, volume: Any, status: str) -> None:
    """Leave a volume as a cinder-volume does that died over it."""
    cloud.execute("UPDATE volumes SET status = :to WHERE id = :id", to=status, id=volume.id)
    cloud.execute(
        "INSERT INTO workers (created_at, updated_at, deleted, resource_type, resource_id, status,"
        " service_id, race_preventer) SELECT UTC_TIMESTAMP(), UTC_TIMESTAMP(), 0, 'Volume', :id,"
        " :to, services.id, 1 FROM services, volumes WHERE volumes.id = :id AND"
        " volumes.host LIKE CONCAT(services.host, '#%') AND services.binary = 'cinder-volume'",
        id=volume.id,
        to=status,
    )


def served(cloud: Cloud, user: User, volume: Any, data: str) -> None:
    """Do with a volume what is done with volumes."""
    assert cloud.data(volume) == data
    snapshot = user.snapshot(volume)
    copy = user.volume(snapshot_id=snapshot.id)
    assert cloud.data(copy) == data
    user.api.volumes.extend(copy, 2)
    user.wait_size(copy, 2)
    user.deleted(user.api.volumes, copy)
    user.deleted(user.api.volume_snapshots, snapshot)


def test_there_and_back(moving: Cloud) -> None:
    cloud, user = moving, moving.user()
    cloud.workers.start()
    cloud.wait_up()
    kept, attached = user.volume(name="kept"), user.volume(name="attached")
    cloud.scribble(kept)
    data = cloud.data(kept)
    attachment, snapshot = user.attached(attached), user.snapshot(kept)
    backup = user.wait(user.api.backups, user.api.backups.create(kept.id), "available")
    lost, doomed = user.volume(name="lost"), user.volume(name="doomed")
    cloud.workers.stop()
    stuck(cloud, lost, "creating")
    stuck(cloud, doomed, "deleting")

    change(cloud, _OnTheirDriver)
    user.wait(user.api.volumes, lost, "error")
    user.wait_gone(user.api.volumes, doomed)
    served(cloud, user, kept, data)
    user.api.attachments.delete(attachment["id"])
    user.wait(user.api.volumes, attached, "available")
    target = user.volume()
    user.api.restores.restore(backup.id, target.id)
    user.wait(user.api.backups, backup, "available")
    assert cloud.data(user.wait(user.api.volumes, target, "available")) == data
    ours = user.wait(
        user.api.backups, user.api.backups.create(kept.id, incremental=True), "available"
    )
    made = user.volume(source_volid=kept.id, name="made by ours")

    change(cloud, Reference)
    served(cloud, user, made, data)
    served(cloud, user, kept, data)
    user.api.restores.restore(ours.id, target.id)
    user.wait(user.api.backups, ours, "available")
    assert cloud.data(user.wait(user.api.volumes, target, "available")) == data
    user.deleted(user.api.volume_snapshots, snapshot)
    for left in (ours, backup):
        user.deleted(user.api.backups, left)
    for volume in (kept, attached, lost, made, target):
        user.deleted(user.api.volumes, volume)
    user.wait_usage({})
