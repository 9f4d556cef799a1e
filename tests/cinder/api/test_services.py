# SPDX-License-Identifier: Apache-2.0
"""An administrator's operations on the services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cinderclient import exceptions

from tests.cinder.api.user import User, wait
from tests.cinder.cloud import Cloud

HOST = "node@two"


@pytest.fixture
def two(cloud: Cloud) -> Any:
    """A volume type of the second backend."""
    return cloud.type("on-two", {"volume_backend_name": "two"})


@pytest.fixture
def services(cloud: Cloud) -> Iterator[Any]:
    """The API of services; at the end all is enabled."""
    api = cloud.admin.api.services
    yield api
    if shown(api).frozen:
        api.thaw_host(HOST)
    cloud.enable(HOST)
    wait(lambda: HOST in cloud.pools(), lambda: f"{HOST} is not back")


def shown(services: Any) -> Any:
    """Return the service as it is listed."""
    [found] = [s for s in services.list(host=HOST) if s.binary == "cinder-volume"]
    return found


def test_a_disabled_one_gets_nothing_new(cloud: Cloud, user: User, services: Any, two: Any) -> None:
    volume = user.volume(volume_type=two.name)
    services.disable_log_reason(HOST, "cinder-volume", "maintenance")
    assert (shown(services).status, shown(services).disabled_reason) == ("disabled", "maintenance")
    refused = user.volume(volume_type=two.name, wanted="error")

    assert user.told(refused)
    user.deleted(user.api.volumes, volume)  # existing volumes are served


def test_a_frozen_one_changes_nothing(cloud: Cloud, user: User, services: Any, two: Any) -> None:
    volume = user.volume(volume_type=two.name)
    services.freeze_host(HOST)
    assert (shown(services).frozen, shown(services).disabled_reason) == (True, "frozen")
    with pytest.raises(exceptions.ClientException):
        user.api.volume_snapshots.create(volume.id)

    services.thaw_host(HOST)
    assert (shown(services).frozen, shown(services).status) == (False, "enabled")
    assert user.snapshot(volume)


def test_log_levels(cloud: Cloud, services: Any) -> None:
    code = "worker.execution" if cloud.workers.name == "holdfast" else "cinder.volume"
    services.set_log_levels("info", "cinder-volume", HOST, code)
    found = services.get_log_levels("cinder-volume", HOST, code)

    assert {one.level.lower() for one in found} == {"info"}


def test_capabilities(cloud: Cloud) -> None:
    found = cloud.admin.api.capabilities.get(HOST)

    assert found.volume_backend_name == "two"


def test_manageable_things_are_listed(cloud: Cloud) -> None:
    path = cloud.workers.place("two") / "stray"
    path.write_bytes(bytes(4096))
    found = cloud.admin.api.volumes.list_manageable("node@two#two")
    path.unlink()
    assert {"source-name": "stray"} in [one.reference for one in found]
