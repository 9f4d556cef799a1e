# SPDX-License-Identifier: Apache-2.0
"""create_volume: spec/volume-rpc, create_volume; seeds, VolumeDriverCore."""

from __future__ import annotations

from typing import Any

import kombu
import pytest

from tests.functional.cloud import HOST, Cloud
from tests.servers import until

RETRY = {"retry": {"num_attempts": 1, "backends": [HOST], "hosts": [HOST]}}
SPEC: dict[str, Any] = {
    "versioned_object.name": "RequestSpec",
    "versioned_object.namespace": "cinder",
    "versioned_object.version": "1.5",
    "versioned_object.data": {"volume_id": None, "snapshot_id": None},
}


def test_an_empty_volume_becomes_available(cloud: Cloud) -> None:
    volume = cloud.volume(size=3)
    cloud.script.plan(create_volume={"return": {"provider_location": "here", "metadata": {"a": 1}}})
    cloud.cast("create_volume", volume=volume)
    row = cloud.wait_status(volume, "available")

    assert row.launched_at is not None
    assert row.provider_location == "here"
    assert row.metadata == {"a": "1"}
    assert row.service_uuid is not None
    assert row.shared_targets is True  # the driver says iSCSI
    assert volume.name in cloud.script.objects()


@pytest.mark.parametrize(
    ("plan", "status"),
    [
        pytest.param({"raise": "VolumeBackendAPIException"}, "error", id="backend-failed"),
        pytest.param({"raise": "RuntimeError"}, "error", id="anything-else"),
        pytest.param({"raise": "SystemExit"}, "error", id="no-exception-at-all"),
        pytest.param({"return": "rubbish"}, "error", id="no-dict"),
        pytest.param({"return": {"no_such_column": 1}}, "error", id="unknown-column"),
        pytest.param({"return": {"id": "another"}}, "error", id="another-row"),
        pytest.param({"return": {"host": "elsewhere"}}, "error", id="not-its-column"),
        pytest.param({"return": {"provider_id": "x" * 256}}, "error", id="too-long"),
        pytest.param({"return": {"provider_id": ["a"]}}, "error", id="not-a-column-value"),
        pytest.param({"return": {"status": "error"}}, "available", id="status-is-ours"),
    ],
)
def test_what_the_driver_does_decides_the_status(
    cloud: Cloud, plan: dict[str, Any], status: str
) -> None:
    volume = cloud.volume()
    cloud.script.plan(create_volume=plan)
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, status)
    cloud.wait_idle()

    assert (volume.name in cloud.script.objects()) == (status == "available")


@pytest.mark.parametrize("size", [0, -1, None])
def test_an_impossible_size_never_reaches_the_driver(cloud: Cloud, size: int | None) -> None:
    volume = cloud.volume(size=size)
    cloud.cast("create_volume", volume=volume, request_spec=SPEC, filter_properties=RETRY)
    cloud.wait_status(volume, "error")

    assert [c for c in cloud.script.calls("create_volume") if c["id"] == volume.id] == []


def test_a_volume_from_a_snapshot_keeps_its_size_and_what_boots(cloud: Cloud) -> None:
    source = cloud.existing(bootable=True)
    snapshot = cloud.existing_snapshot(source)
    volume = cloud.volume(size=5, snapshot_id=snapshot.id)
    cloud.cast("create_volume", volume=volume)
    row = cloud.wait_status(volume, "available")

    assert row.bootable is True
    made = [c for c in cloud.script.calls("create_volume_from_snapshot") if c["id"] == volume.id]
    assert [(c["snapshot"], c["size"]) for c in made] == [(snapshot.id, 5)]


def test_a_clone_comes_from_its_source(cloud: Cloud) -> None:
    source = cloud.existing()
    volume = cloud.volume(size=2, source_volid=source.id)
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "available")

    made = [c for c in cloud.script.calls("create_cloned_volume") if c["id"] == volume.id]
    assert [c["source"] for c in made] == [source.id]


def test_a_driver_without_clones_gets_a_snapshot_of_the_moment(cloud: Cloud) -> None:
    source = cloud.existing()
    volume = cloud.volume(size=2, source_volid=source.id)
    cloud.script.plan(create_cloned_volume={"raise": "NotImplementedError"})
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "available")

    left = {name for name in cloud.script.objects() if volume.id in name}
    assert left == {volume.name}


@pytest.mark.parametrize("column", ["snapshot_id", "source_volid"])
def test_a_missing_source_is_an_error_that_no_other_backend_could_mend(
    cloud: Cloud, column: str
) -> None:
    volume = cloud.volume(**{column: "99999999-9999-9999-9999-999999999999"})
    cloud.cast("create_volume", volume=volume, request_spec=SPEC, filter_properties=RETRY)
    row = cloud.wait_status(volume, "error")

    assert row.host is not None


@pytest.mark.parametrize("source", ["image_id", "backup_id"])
@pytest.mark.parametrize("filter_properties", [{}, RETRY])
def test_a_source_that_is_not_there_yet_never_makes_an_empty_volume(
    cloud: Cloud, source: str, filter_properties: dict[str, Any]
) -> None:
    data = {**SPEC["versioned_object.data"], source: "11111111-1111-1111-1111-111111111111"}
    spec = {**SPEC, "versioned_object.data": data}
    volume = cloud.volume()
    cloud.cast(
        "create_volume",
        volume=volume,
        request_spec=spec,
        filter_properties=filter_properties,
    )
    cloud.wait_status(volume, "error")

    assert volume.name not in cloud.script.objects()


def test_a_failure_goes_back_to_the_scheduler(cloud: Cloud) -> None:
    volume = cloud.volume()
    cloud.script.plan(create_volume={"raise": "VolumeBackendAPIException", "text": "no room"})
    with scheduler(cloud) as received:
        cloud.cast("create_volume", volume=volume, request_spec=SPEC, filter_properties=RETRY)
        until(lambda: received("create_volume", volume.id), 60, "the scheduler to be asked")
        (message,) = received("create_volume", volume.id)
    cloud.wait_idle()

    row = cloud.records.volumes.get(volume.id)
    assert (row.status, row.host) == ("creating", None)
    assert row.scheduled_at is not None
    assert volume.name not in cloud.script.objects()
    retry = message["args"]["filter_properties"]["retry"]
    assert retry["num_attempts"] == 1
    assert any("no room" in line for line in retry["exc"])
    data = message["args"]["request_spec"]["versioned_object.data"]
    assert data["volume_id"] == volume.id
    assert message["args"]["volume"]["versioned_object.data"]["host"] is None
    assert message["_context_project_id"] == volume.project_id


@pytest.mark.parametrize(
    "args",
    [
        pytest.param({"request_spec": SPEC, "filter_properties": {}}, id="no-retry-info"),
        pytest.param({"filter_properties": RETRY}, id="no-request-spec"),
        pytest.param(
            {"request_spec": SPEC, "filter_properties": RETRY, "allow_reschedule": False},
            id="not-allowed",
        ),
    ],
)
def test_without_leave_to_reschedule_it_ends_in_error(cloud: Cloud, args: dict[str, Any]) -> None:
    volume = cloud.volume()
    cloud.script.plan(create_volume={"raise": "VolumeBackendAPIException"})
    cloud.cast("create_volume", volume=volume, **args)
    row = cloud.wait_status(volume, "error")
    cloud.wait_idle()

    assert row.host == volume.host
    events = [m.event_id for m in cloud.records.messages.list() if m.resource_uuid == volume.id]
    assert events == ["VOLUME_VOLUME_008_012"]


def scheduler(cloud: Cloud) -> Any:
    """Stand in for cinder-scheduler: its queue, and the messages in it."""
    return _Scheduler(cloud.bus)


class _Scheduler:
    def __init__(self, bus: str) -> None:
        self._connection = kombu.Connection(bus.replace("rabbit://", "amqp://"))
        self._messages: list[dict[str, Any]] = []

    def __enter__(self) -> Any:
        exchange = kombu.Exchange("openstack", "topic", durable=False)
        queue = kombu.Queue(
            "cinder-scheduler", exchange, routing_key="cinder-scheduler", durable=False
        )
        self._queue = self._connection.SimpleQueue(queue)
        return self._received

    def __exit__(self, *_: object) -> None:
        self._queue.close()
        self._connection.release()

    def _received(self, method: str, volume_id: str) -> list[dict[str, Any]]:
        import json
        import queue

        try:
            while True:
                message = self._queue.get(timeout=0.2)
                message.ack()
                self._messages.append(json.loads(message.payload["oslo.message"]))
        except queue.Empty:
            pass
        return [
            m
            for m in self._messages
            if m["method"] == method
            and m["args"]["volume"]["versioned_object.data"]["id"] == volume_id
        ]
