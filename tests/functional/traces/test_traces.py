# SPDX-License-Identifier: Apache-2.0
"""Traces of a service of two processes, as a collector receives them."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest

from tests.functional.cloud import HOST, REQUEST, Cloud, encoded
from tests.functional.service import Service
from tests.functional.traces.collector import Collector, ReceivedSpan, collector
from tests.servers import until
from worker.rpc import objects

CALLER = "00f067aa0ba902b7"
PROFILED = {"hmac_key": "an-operators-key", "base_id": "b", "parent_id": "p"}
RETRY = {"retry": {"num_attempts": 1, "backends": [HOST], "hosts": [HOST]}}


@pytest.fixture
def sink() -> Iterator[Collector]:
    with collector() as made:
        yield made


@pytest.fixture
def cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path, sink: Collector
) -> Iterator[Cloud]:
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    sections = {
        "tracing": {"enabled": True, "endpoint": sink.address},
        "b1": {"processes": 2},
    }
    made = Cloud(volume_service, rabbit_url, database, tmp_path, **sections)
    yield made
    made.close()


def cast(cloud: Cloud, trace: str, **args: Any) -> None:
    """Cast a creation as a sender does whose oslo.messaging makes traces, and whose osprofiler."""
    sent = {"traceparent": f"00-{trace}-{CALLER}-01", "trace_info": PROFILED}
    cloud.client().cast({**REQUEST, **sent}, "create_volume", **encoded(args))


def spans(sink: Collector, trace: str, *last: str) -> dict[str, ReceivedSpan]:
    """Return the spans of a trace by name, as soon as that of the operation is there."""
    until(lambda: sink.spans(trace, "create_volume"), 30, "the span of the operation")
    return {span.name: span for span in sink.spans(trace)}


@pytest.mark.lasts(30)
def test_traces_continue_those_of_callers_over_failures_and_kills(
    cloud: Cloud, sink: Collector, tmp_path: Path
) -> None:
    cloud.service.start()
    done, failed, killed = (letter * 32 for letter in "abc")

    volume = cloud.volume()
    cast(cloud, done, volume=volume)
    cloud.wait_status(volume, "available")
    found = spans(sink, done)
    operation = found.pop("create_volume")
    assert operation.parent == CALLER
    assert operation.attributes["holdfast.volume.id"] == volume.id
    assert operation.attributes["openstack.request_id"] == REQUEST["request_id"]
    assert operation.attributes["holdfast.result"] == "done"
    assert operation.attributes["service.name"] == "holdfast-volume"
    call = found.pop("ScriptedDriver.create_volume")
    tasks = {span.id: span for span in found.values() if "holdfast.task.state" in span.attributes}
    assert {span.parent for span in tasks.values()} == {operation.id}
    assert call.parent in tasks
    assert [span.error for span in (operation, call, *tasks.values())] == [None] * (len(tasks) + 2)

    volume = cloud.volume()
    cloud.script.plan(create_volume={"raise": "VolumeBackendAPIException", "text": "no room"})
    exchange = kombu.Exchange("openstack", "topic", durable=False)
    queue = kombu.Queue("cinder-scheduler", exchange, "cinder-scheduler", durable=False)
    with kombu.Connection(cloud.bus.replace("rabbit://", "amqp://")) as connection:
        scheduler = connection.SimpleQueue(queue)
        spec = {
            "versioned_object.name": "RequestSpec",
            "versioned_object.namespace": "cinder",
            "versioned_object.version": "1.5",
            "versioned_object.data": {"volume_id": None, "snapshot_id": None},
        }
        cast(cloud, failed, volume=volume, request_spec=spec, filter_properties=RETRY)
        message = scheduler.get(timeout=60)
        message.ack()
        scheduler.close()
    found = spans(sink, failed)
    assert "no room" in (found["create_volume"].error or "")
    assert "no room" in (found["ScriptedDriver.create_volume"].error or "")
    forwarded = json.loads(message.payload["oslo.message"])
    assert forwarded["_context_traceparent"].split("-")[1] == failed
    assert forwarded["_context_traceparent"].split("-")[2] in {span.id for span in found.values()}
    assert forwarded["_context_trace_info"] == PROFILED

    volume, go = cloud.volume(), tmp_path / "go"
    cloud.script.plan(create_volume={"wait_for": str(go)})
    cast(cloud, killed, volume=volume)
    until(lambda: cloud.script.calls("create_volume")[-1]["id"] == volume.id, 30, "the call")
    until(lambda: sink.spans(killed), 30, "the spans of the tasks that have ended")
    cloud.service.kill()
    go.touch()
    cloud.service.start()
    cloud.wait_status(volume, "available")
    found = spans(sink, killed)
    until(lambda: sink.spans(killed, "create_volume resumed"), 30, "the span of the attempt")
    operation, further = found["create_volume"], found["create_volume resumed"]
    assert (operation.parent, further.parent) == (CALLER, operation.id)
    assert further.links == [operation.id]
    parents = {span.parent for span in sink.spans(killed)}
    assert parents <= {CALLER, *(span.id for span in sink.spans(killed))}, (
        "no span has lost its parent"
    )
    assert found["ScriptedDriver.create_volume"].error is None
    assert PROFILED["hmac_key"] not in cloud.service.text()


def test_a_collector_that_hangs_delays_neither_work_nor_a_stop(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracing = {"enabled": True, "endpoint": address, "timeout": 600}
        cloud = Cloud(volume_service, rabbit_url, database, tmp_path, tracing=tracing)
        cloud.service.start()
        volume = cloud.volume()
        cloud.cast("create_volume", volume=objects.volume(volume))
        cloud.wait_status(volume, "available")
        cloud.wait_idle()

        assert cloud.service.stop() == 0
        assert "spans are lost: the collector has not taken them" in cloud.service.text()
        cloud.close()
