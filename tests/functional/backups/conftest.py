# SPDX-License-Identifier: Apache-2.0
"""One pair of services with the local driver and a directory of backups."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.conftest import DATABASES, empty_database
from tests.functional.backups.backup_cloud import BackupCloud
from tests.functional.backups.scripted_cloud import DRIVER, VOLUME_DRIVER, ScriptedCloud
from tests.functional.service import services
from tests.notifications import Notifications
from tests.scripted.volume_driver import Script
from tests.servers import Broker, Servers

NOTIFYING = {"oslo_messaging_notifications": {"driver": "messagingv2"}}

AnyCloud = TypeVar("AnyCloud", bound=BackupCloud)


@contextmanager
def running(
    broker: Broker,
    directory: Path,
    backend: dict[str, Any] | None = None,
    sections: dict[str, Any] | None = None,
    volume_sections: dict[str, Any] | None = None,
    **options: Any,
) -> Iterator[BackupCloud]:
    """Run a volume service with the local driver, and a backup service.

    :param backend: further options of the local driver.
    :param volume_sections: further sections of the volume service's configuration.
    :param sections: further sections of the backup service's configuration.
    :param options: further options of the backup service.
    """
    local = {"volume_driver": "local", "local_path": str(directory / "volumes")}
    local |= backend or {}
    database = f"sqlite:///{directory / 'cinder.sqlite'}"
    with services(directory, forked=True) as make:
        bus, more = broker.vhost(), sections or {}
        cloud = BackupCloud(make, bus, database, directory, local, options, volume_sections, **more)
        cloud.start()
        yield cloud
        cloud.close()


@pytest.fixture(scope="module")
def shared_cloud(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackupCloud]:
    with running(broker, tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud: BackupCloud) -> Iterator[BackupCloud]:
    """The pair; the end of its logs is shown with a failure."""
    yield from shown(shared_cloud)


@pytest.fixture
def slow_cloud(broker: Broker, tmp_path: Path) -> Iterator[BackupCloud]:
    """A pair whose backups take some seconds: a few objects of a MiB in each."""
    options = {"backup_bandwidth_limit": 2, "backup_file_size": 32768 * 32, "backup_transfers": 1}
    with running(broker, tmp_path, **options) as cloud:
        yield from shown(cloud)


@pytest.fixture(scope="module", params=DATABASES)
def shared_scripted(
    request: pytest.FixtureRequest,
    broker: Broker,
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ScriptedCloud]:
    directory = tmp_path_factory.mktemp(f"scripted-{request.param}")
    database = empty_database(request.param, servers, directory)
    store = Script(directory / "store-script")
    options = {"backup_driver": DRIVER, "backup_script": str(store.directory)}
    with services(directory, forked=True) as make:
        backend = {"volume_driver": VOLUME_DRIVER, "script": str(directory / "script")}
        scripted = ScriptedCloud(
            make, broker.vhost(), database, directory, backend, options, **NOTIFYING
        )
        scripted.store_script, scripted.device = store, directory / "device"
        scripted.device.write_bytes(b"what is in there")
        scripted.play()
        scripted.notices = Notifications(scripted.bus)
        scripted.start()
        yield scripted
        scripted.notices.close()
        scripted.close()


@pytest.fixture
def scripted(shared_scripted: ScriptedCloud) -> Iterator[ScriptedCloud]:
    """Two scripted services on each database, which succeed unless a plan says otherwise."""
    shared_scripted.play()
    yield from shown(shared_scripted)


def shown(cloud: AnyCloud) -> Iterator[AnyCloud]:
    services = (cloud.service, cloud.backup_service)
    positions = [service.position() for service in services]
    yield cloud
    for service, position in zip(services, positions, strict=True):
        sys.stdout.write(service.text(position))
