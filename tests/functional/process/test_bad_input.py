# SPDX-License-Identifier: Apache-2.0
"""A message that is not an operation is put aside with its reason; the consumer continues."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.cloud import Cloud, envelope
from tests.functional.service import Service
from tests.servers import Broker, until


@pytest.fixture(scope="module")
def cloud(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory: Path = tmp_path_factory.mktemp("bad-input")
    made: list[Service] = []

    def make(**options: Any) -> Service:
        made.append(Service(directory / "service", **options))
        return made[-1]

    database = f"sqlite:///{directory / 'cinder.sqlite'}"
    cloud = Cloud(make, broker.vhost(), database, directory)
    cloud.service.start()
    yield cloud
    cloud.close()
    made[0].close()


def volume_primitive(volume_id: str | None) -> dict[str, Any]:
    return {
        "versioned_object.name": "Volume",
        "versioned_object.namespace": "cinder",
        "versioned_object.version": "1.9",
        "versioned_object.data": {"id": volume_id},
    }


BROKEN = {"versioned_object.name": "Volume", "versioned_object.version": "1.9"}

REJECTED = [
    pytest.param(envelope("no_such_method"), "unknown method no_such_method", id="method"),
    pytest.param(envelope("_context"), "no method", id="private"),
    pytest.param(envelope("create_volume", version="3.99"), "3.99", id="newer-minor"),
    pytest.param(envelope("create_volume", version="4.0"), "4.0", id="newer-major"),
    pytest.param(envelope("create_volume", version="2.0"), "2.0", id="older-major"),
    pytest.param(envelope("create_volume", version="x.y"), "x.y", id="no-version"),
    pytest.param(envelope("create_volume", namespace="n"), "namespace", id="namespace"),
    pytest.param(envelope("create_volume"), "lacks volume", id="missing-argument"),
    pytest.param(envelope("create_volume", args=[1, 2]), "no mapping", id="no-arguments"),
    pytest.param(envelope("create_volume", args={"volume": BROKEN}), "data", id="broken-object"),
    pytest.param(envelope("create_volume", args={"volume": "text"}), "id", id="no-object"),
    pytest.param(
        envelope("create_volume", args={"volume": volume_primitive(None)}), "id", id="no-id"
    ),
    pytest.param(b"{not json", "not a message", id="no-json"),
    pytest.param(b"\xff\xfe\x00", "not a message", id="no-text"),
    pytest.param(b"[]", "no method in the message", id="no-envelope"),
    pytest.param(
        json.dumps({"oslo.version": "2.0", "oslo.message": "{"}).encode(),
        "not a message",
        id="broken-inside",
    ),
]


@pytest.mark.parametrize(("body", "reason"), REJECTED)
def test_it_is_put_aside_and_the_next_cast_runs(cloud: Cloud, body: bytes, reason: str) -> None:
    known = {entry.flow for entry in cloud.entries(rejected=True)}
    position = cloud.service.position()
    volume = cloud.volume()
    cloud.publish_raw(body)
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "available")

    fresh = [e for e in cloud.entries(rejected=True) if e.flow not in known]
    assert len(fresh) == 1
    assert reason in str(fresh[0].failure)
    log = cloud.service.text(position)
    assert "put aside" in log
    assert "Traceback" not in log
    assert "a-secret-token" not in log


@pytest.mark.parametrize(
    ("status", "columns", "text"),
    [
        pytest.param("available", {}, "is available, not", id="wrong-status"),
        pytest.param("creating", {"host": "h1@other#pool"}, "is on h1@other#pool", id="host"),
        pytest.param("creating", {"host": None}, "is on no host", id="no-host"),
    ],
)
def test_a_volume_that_is_not_to_be_created_here_is_not_touched(
    cloud: Cloud, status: str, columns: dict[str, Any], text: str
) -> None:
    volume = cloud.volume(status, **columns)
    position = cloud.service.position()
    cloud.cast("create_volume", volume=volume)
    cloud.service.wait_for_log(f"create_volume of volume {volume.id} failed", after=position)
    cloud.wait_idle()

    row = cloud.records.volumes.get(volume.id)
    assert (row.status, row.updated_at) == (status, volume.updated_at)
    assert text in cloud.service.text(position)
    assert [c for c in cloud.script.calls() if c.get("id") == volume.id] == []


def test_a_volume_without_a_row(cloud: Cloud) -> None:
    missing = str(uuid.uuid4())
    position = cloud.service.position()
    cloud.publish_raw(envelope("create_volume", args={"volume": volume_primitive(missing)}))
    cloud.service.wait_for_log(f"volume {missing} does not exist", after=position)
    cloud.wait_idle()

    assert "Traceback" not in cloud.service.text(position)


def test_deleting_a_volume_without_a_row_is_a_success(cloud: Cloud) -> None:
    missing = str(uuid.uuid4())
    position = cloud.service.position()
    cloud.publish_raw(envelope("delete_volume", args={"volume": volume_primitive(missing)}))
    cloud.service.wait_for_log(f"delete_volume of volume {missing} done", after=position)


def test_an_object_of_a_newer_minor_version_is_taken(cloud: Cloud) -> None:
    volume = cloud.volume()
    primitive = volume_primitive(volume.id)
    primitive["versioned_object.version"] = "1.99"
    primitive["versioned_object.data"]["from_the_future"] = {"a": [1]}
    cloud.publish_raw(envelope("create_volume", args={"volume": primitive, "new_argument": 1}))

    cloud.wait_status(volume, "available")


@pytest.mark.parametrize(
    ("method", "version", "kind"),
    [
        ("no_such_method", "3.0", "NoSuchMethod"),
        ("get_capabilities", "3.99", "UnsupportedVersion"),
        ("initialize_connection", "3.0", "Invalid"),
    ],
)
def test_a_bad_call_is_told_to_the_caller(
    cloud: Cloud, method: str, version: str, kind: str
) -> None:
    assert cloud.failure(method, version)[0] == kind


def test_a_call_for_an_unknown_volume(cloud: Cloud) -> None:
    missing = str(uuid.uuid4())
    kind, text = cloud.failure("terminate_connection", volume_id=missing, connector=None)

    assert kind == "VolumeNotFound"
    assert missing in text


def test_a_driver_failure_logs_one_traceback(cloud: Cloud) -> None:
    volume = cloud.volume()
    position = cloud.service.position()
    cloud.script.plan(create_volume={"raise": "RuntimeError", "text": "the shelf is gone"})
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "error")
    cloud.wait_idle()
    cloud.script.plan()
    until(lambda: "failed after" in cloud.service.text(position), 60, "the end to be logged")

    log = cloud.service.text(position)
    assert log.count("Traceback (most recent call last)") == 1
    lines = [line for line in log.splitlines() if "worker.operation" in line and " INFO " in line]
    assert all(volume.id in line for line in lines)
    assert all("req-11111111-2222-3333-4444-555555555555" in line for line in lines)
