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
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.outages.proxy import Link
from tests.functional.cloud import Cloud
from tests.functional.service import Service
from tests.servers import Broker, free_port, patient, until
from worker.cli.main import main


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
    connection = HTTPConnection("127.0.0.1", cloud.port, timeout=patient(60))
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if text.startswith("{") else text
    finally:
        connection.close()


def value(cloud: Cloud, name: str, *labels: str) -> float:
    """Return the sum of the values of a metric with these values of labels; -1 without any."""
    families = text_string_to_metric_families(get(cloud, "/metrics")[1])
    found = [
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and set(labels) <= set(sample.labels.values())
    ]
    return sum(found) if found else -1


def health(cloud: Cloud, *options: str) -> int:
    return main(["--config-file", str(cloud.service.config), "health", *options])


def test_probes_follow_the_bus_and_the_processes(
    cloud: Cloud, link: Link, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.service.start()
    until(lambda: get(cloud, "/readyz")[0] == 200, 30, "the service to be ready")

    assert get(cloud, "/healthz")[0] == 200
    assert set(get(cloud, "/readyz")[1]["processes"]) == {"h1@b1/0", "h1@b1/1"}
    assert health(cloud) == 0

    link.cut()
    away = {f"h1@b1/{number}: bus: the broker is away" for number in range(2)}
    until(lambda: away <= set(get(cloud, "/readyz")[1].get("reasons", ())), 30, "the outage")
    assert get(cloud, "/readyz")[0] == 503
    assert get(cloud, "/healthz")[0] == 200, "a restart mends no broker"
    assert (health(cloud), health(cloud, "--alive")) == (1, 0)
    assert "bus: the broker is away" in capsys.readouterr().out
    cloud.service.wait_for_notice("STATUS=waits for the message bus")

    link.mend()
    until(lambda: get(cloud, "/readyz")[0] == 200, 30, "the service to be ready again")
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "available")
    done = "holdfast_operations_total", "create_volume"
    until(lambda: value(cloud, *done) == 1, 30, "the operation to be counted")
    assert value(cloud, "holdfast_outages_total", "bus") == 2
    assert value(cloud, "holdfast_driver_call_seconds_count", "create_volume") == 1
    assert value(cloud, "holdfast_casts_accepted_total", "create_volume") == 1
    assert value(cloud, "holdfast_pool_capacity_free_bytes", "b1") > 0
    assert value(cloud, "holdfast_heartbeats_total", "sent") > 0
    assert value(cloud, "holdfast_journal_commit_seconds_count") > 0
    until(lambda: value(cloud, "holdfast_journal_entries", "finished") >= 0, 30, "its entries")

    overview = get(cloud, "/")[1]
    assert "h1@b1/0" in overview and "h1@b1/1" in overview, "one page for all processes"
    assert f"volume/{volume.id}" in get(cloud, "/operations?state=done")[1]

    child = int(get(cloud, "/status")[1]["processes"][1]["pid"])
    os.kill(child, signal.SIGKILL)
    until(lambda: get(cloud, "/status")[1]["processes"][1]["pid"] != child, 30, "a new process")
    until(lambda: get(cloud, "/readyz")[0] == 200, 30, "the new process to be ready")
    assert value(cloud, *done) == 1, "a successor continues the counters"
    assert get(cloud, f"/resources/volume/{volume.id}")[0] == 200

    one, go = cloud.volume(), tmp_path / "go"
    cloud.script.plan(create_volume={"wait_for": str(go)})
    position = cloud.service.position()
    cloud.cast("create_volume", volume=one)
    until(lambda: cloud.script.calls("create_volume")[-1]["id"] == one.id, 30, "the call")
    assert cloud.service.process is not None
    cloud.service.process.send(signal.SIGUSR2)
    operation = f"create_volume of volume {one.id}, flow"
    for line in (
        "state of the supervisor of cinder-volume",
        *("state of cinder-volume h1@b1/0", "state of cinder-volume h1@b1/1"),
        *(f"{operation} .* runs, .* task ", rf"\] \S*{one.id}\S*: {operation}"),
    ):
        cloud.service.wait_for_log(line, after=position)
    assert "secret@" not in cloud.service.text(position)
    go.touch()
    cloud.wait_status(one, "available")
