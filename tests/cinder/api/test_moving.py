# SPDX-License-Identifier: Apache-2.0
"""From Cinder's services to ours and back, on one configuration and with one driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cinder.api.user import User
from tests.cinder.cloud import Cloud
from tests.cinder.control import Control
from tests.cinder.workers import Holdfast, Reference
from tests.conftest import require
from tests.notifications import Notifications
from tests.servers import Broker, Glance, MariaDB, Process, Servers

pytestmark = pytest.mark.timeout(1200)  # many operations of Cinder's own services


class _OnTheirDriver(Holdfast):
    """Ours, with the driver that Cinder's services have."""

    driver = Reference.driver
    options = Reference.options


class _TheirBackups(_OnTheirDriver):
    """Our volume service with Cinder's backup service."""

    def _run(self, service: str) -> Process:
        return super()._run(service) if service == "volume" else self.control.run("cinder-backup")


class _TheirVolumes(_OnTheirDriver):
    """Our backup service with Cinder's volume service."""

    def _run(self, service: str) -> Process:
        return super()._run(service) if service == "backup" else self.control.run("cinder-volume")


@pytest.fixture
def moving(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud with Cinder's services, none of which runs yet."""
    require(Broker, MariaDB, Glance)
    control = Control(servers, tmp_path_factory.mktemp("moving"))
    workers = Reference(control)
    control.write(workers.backends())
    control.start()
    notices = Notifications(control.bus)
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
    """Use a volume in every usual way."""
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


@pytest.mark.parametrize("kind", [_TheirBackups, _TheirVolumes])
def test_one_of_ours_beside_one_of_theirs(moving: Cloud, kind: type[_OnTheirDriver]) -> None:
    cloud, user = moving, moving.user()
    cloud.workers = kind(cloud.control)
    cloud.workers.start()
    cloud.wait_up()
    volume = user.volume()
    cloud.scribble(volume)
    first, before = user.api.backups.create(volume.id), cloud.data(volume)
    user.wait(user.api.backups, first, "available")
    user.wait(user.api.volumes, volume, "available")
    attachment = user.attached(volume)
    cloud.scribble(volume)
    after = cloud.data(volume)
    second = user.api.backups.create(volume.id, incremental=True, force=True)
    assert user.wait(user.api.backups, second, "available").is_incremental
    user.wait(user.api.volumes, volume, "in-use")

    target = user.volume()
    for backup, data in ((first, before), (second, after)):
        user.api.restores.restore(backup.id, target.id)
        user.wait(user.api.backups, backup, "available")
        assert cloud.data(user.wait(user.api.volumes, target, "available")) == data
    user.api.attachments.delete(attachment["id"])
    user.wait(user.api.volumes, volume, "available")
    for backup in (second, first):
        user.deleted(user.api.backups, backup)
    for gone in (volume, target):
        user.deleted(user.api.volumes, gone)
        assert not cloud.left(gone)
    user.wait_usage({})
