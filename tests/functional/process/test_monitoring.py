# SPDX-License-Identifier: Apache-2.0
"""A service of two processes, as monitors and probes see it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.faults.outages.proxy import Link
from tests.functional.cloud import Cloud
from tests.functional.service import Service
from tests.servers import Broker, free_port, until
from worker.cli.main import main


@pytest.fixture
def link(broker: Broker) -> Iterator[Link]:
    made = Link(broker.port)
    yield made
    made.cut()


@pytest.fixture
def cloud(
    volume_service: Callable[..., Service],
    rabbit_url: str,
    link: Link,
    broker: Broker,
    tmp_path: Path,
) -> Iterator[Cloud]:
    bus = rabbit_url.replace(f":{broker.port}/", f":{link.port}/")
    port = free_port()
    sections = {"monitoring": {"listen": f"127.0.0.1:{port}"}, "b1": {"processes": 2}}
    made = Cloud(
        volume_service, bus, f"sqlite:///{tmp_path / 'cinder.sqlite'}", tmp_path, **sections
    )
    made.port = port
    yield made
    made.close()


def get(cloud: Cloud, path: str) -> tuple[int, Any]:
    """Return status and content of a page."""
    connection = HTTPConnection("127.0.0.1", cloud.port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if text.startswith("{") else text
    finally:
        connection.close()


def health(cloud: Cloud, *options: str) -> int:
    return main(["--config-file", str(cloud.service.config), "health", *options])


def test_probes_follow_the_bus_and_the_processes(
    cloud: Cloud, link: Link, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.service.start()
    until(lambda: get(cloud, "/readyz")[0] == 200, 30, "the service to be ready")

    assert get(cloud, "/healthz")[0] == 200
    assert set(get(cloud, "/readyz")[1]["processes"]) == {"h1@b1/0", "h1@b1/1"}
    assert health(cloud) == 0

    link.cut()
    until(lambda: get(cloud, "/readyz")[0] == 503, 30, "the outage of the bus to be seen")
    assert get(cloud, "/readyz")[1]["reasons"][0].startswith("h1@b1/0: bus: the broker is away")
    assert get(cloud, "/healthz")[0] == 200, "a restart mends no broker"
    assert (health(cloud), health(cloud, "--alive")) == (1, 0)
    assert "bus: the broker is away" in capsys.readouterr().out
    cloud.service.wait_for_notice("STATUS=waits for the message bus")

    link.mend()
    until(lambda: get(cloud, "/readyz")[0] == 200, 30, "the service to be ready again")
    child = int(get(cloud, "/status")[1]["processes"][1]["pid"])
    os.kill(child, signal.SIGKILL)
    until(lambda: get(cloud, "/status")[1]["processes"][1]["pid"] != child, 30, "a new process")
    until(lambda: get(cloud, "/readyz")[0] == 200, 30, "the new process to be ready")
