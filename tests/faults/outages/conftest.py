# SPDX-License-Identifier: Apache-2.0
"""A service between servers that go away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from tests.faults.outages.kinds import SmallDisk
from tests.faults.outages.work import Gate
from tests.functional.cloud import Cloud
from tests.functional.service import Service
from worker.rpc import transport

VICTIM = "tests.faults.outages.victim"


@pytest.fixture
def durable(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Sections that make queues outlive the broker, for the service and for its clients.

    Indirect parametrization names the option; durable classic queues otherwise.
    """
    option = getattr(request, "param", "amqp_durable_queues")
    transport.register_opts(cfg.CONF)
    group = "oslo_messaging_rabbit"
    cfg.CONF.set_override(option, True, group=group)
    yield {group: {option: True}}
    cfg.CONF.clear_override(option, group=group)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Where flows are held."""
    monkeypatch.setenv("HOLDFAST_GATE", str(tmp_path / "gate"))
    return Gate(tmp_path / "gate")


@pytest.fixture
def make_cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Callable[..., Cloud]]:
    """A function that makes a cloud around a victim that is not yet started."""
    made: list[Cloud] = []

    def make(
        database: str,
        *,
        bus: str = rabbit_url,
        service_bus: str | None = None,
        module: str = VICTIM,
        **sections: Any,
    ) -> Cloud:
        def service(**options: Any) -> Service:
            options["bus"] = service_bus or bus
            return volume_service(module=module, **options)

        sections.setdefault("DEFAULT", {}).update(executor_thread_pool_size=200)
        made.append(Cloud(service, bus, database, tmp_path, **sections))
        return made[-1]

    yield make
    for cloud in made:
        cloud.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str, int], SmallDisk]]:
    """A function that mounts a filesystem of some MiB."""
    if not SmallDisk.possible():
        pytest.skip("only root can mount a small filesystem")
    made: list[SmallDisk] = []

    def mount(name: str, mebibytes: int) -> SmallDisk:
        made.append(SmallDisk(tmp_path / name, mebibytes))
        return made[-1]

    yield mount
    for disk in made:
        disk.close()
