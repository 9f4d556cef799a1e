# SPDX-License-Identifier: Apache-2.0
"""One pair of services with the local driver and a directory of backups."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.backups.vault import Vault
from tests.functional.service import Service
from tests.servers import Broker


@pytest.fixture(scope="module")
def shared_vault(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    directory = tmp_path_factory.mktemp("vault")
    made: list[Service] = []

    def make(name: str = "service", **options: Any) -> Service:
        made.append(Service(directory / name, **options))
        return made[-1]

    local = {"volume_driver": "local", "local_path": str(directory / "volumes")}
    database = f"sqlite:///{directory / 'cinder.sqlite'}"
    vault = Vault(make, broker.vhost(), database, directory, local)
    vault.start()
    yield vault
    vault.close()
    for service in made:
        service.close()


@pytest.fixture
def vault(shared_vault: Vault) -> Iterator[Vault]:
    """The pair; the end of its logs is shown with a failure."""
    services = (shared_vault.service, shared_vault.backup_service)
    positions = [service.position() for service in services]
    yield shared_vault
    for service, position in zip(services, positions, strict=True):
        sys.stdout.write(service.text(position))
