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
from tests.functional.backups.stage import DRIVER, VOLUME_DRIVER, Stage
from tests.functional.backups.vault import Vault
from tests.functional.service import services
from tests.notices import Notices
from tests.scripted import Script
from tests.servers import Broker, Servers

NOTIFYING = {"oslo_messaging_notifications": {"driver": "messagingv2"}}

AnyVault = TypeVar("AnyVault", bound=Vault)


@contextmanager
def running(
    broker: Broker,
    directory: Path,
    backend: dict[str, Any] | None = None,
    sections: dict[str, Any] | None = None,
    **options: Any,
) -> Iterator[Vault]:
    """Run a volume service with the local driver, and a backup service.

    :param backend: further options of the local driver.
    :param sections: further sections of the backup service's configuration.
    :param options: further options of the backup service.
    """
    local = {"volume_driver": "local", "local_path": str(directory / "volumes")}
    local |= backend or {}
    database = f"sqlite:///{directory / 'cinder.sqlite'}"
    with services(directory) as make:
        vault = Vault(make, broker.vhost(), database, directory, local, options, **(sections or {}))
        vault.start()
        yield vault
        vault.close()


@pytest.fixture(scope="module")
def shared_vault(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with running(broker, tmp_path_factory.mktemp("vault")) as vault:
        yield vault


@pytest.fixture
def vault(shared_vault: Vault) -> Iterator[Vault]:
    """The pair; the end of its logs is shown with a failure."""
    yield from shown(shared_vault)


@pytest.fixture
def slow_vault(broker: Broker, tmp_path: Path) -> Iterator[Vault]:
    """A pair whose backups take some seconds: a few objects of a MiB in each."""
    options = {"backup_bandwidth_limit": 2, "backup_file_size": 32768 * 32, "backup_transfers": 1}
    with running(broker, tmp_path, **options) as vault:
        yield from shown(vault)


@pytest.fixture(scope="module", params=DATABASES)
def shared_stage(
    request: pytest.FixtureRequest,
    broker: Broker,
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp(f"stage-{request.param}")
    database = empty_database(request.param, servers, directory)
    store = Script(directory / "store-script")
    options = {"backup_driver": DRIVER, "backup_script": str(store.directory)}
    with services(directory) as make:
        backend = {"volume_driver": VOLUME_DRIVER, "script": str(directory / "script")}
        stage = Stage(make, broker.vhost(), database, directory, backend, options, **NOTIFYING)
        stage.store_script, stage.device = store, directory / "device"
        stage.device.write_bytes(b"what is in there")
        stage.play()
        stage.notices = Notices(stage.bus)
        stage.start()
        yield stage
        stage.notices.close()
        stage.close()


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    """Two scripted services on each database, which succeed unless a plan says otherwise."""
    shared_stage.play()
    yield from shown(shared_stage)


def shown(vault: AnyVault) -> Iterator[AnyVault]:
    services = (vault.service, vault.backup_service)
    positions = [service.position() for service in services]
    yield vault
    for service, position in zip(services, positions, strict=True):
        sys.stdout.write(service.text(position))
