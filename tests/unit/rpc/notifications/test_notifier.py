# SPDX-License-Identifier: Apache-2.0
"""Notifications: Cinder's payloads, nothing when off, and never a failed operation."""

from __future__ import annotations

import datetime
import json
import logging
import threading

import pytest
from oslo_messaging.notify import _impl_test as oslo_test

from drivers.interface.records import Record
from tests.servers import until
from tests.unit.rpc.samples import of
from worker.rpc.notifications.notifier import Notifier
from worker.rpc.request_context import RequestContext

CREATED = datetime.datetime(2026, 1, 2, 3, 4, 5)

VOLUME = Record(
    "volume",
    {
        "id": "v1",
        "project_id": "blue",
        "user_id": "alice",
        "host": "node@lvm#gold",
        "availability_zone": "nova",
        "volume_type_id": "t1",
        "display_name": "disk",
        "launched_at": None,
        "created_at": CREATED,
        "status": "creating",
        "snapshot_id": None,
        "size": 3,
        "replication_status": None,
        "replication_extended_status": None,
        "replication_driver_data": None,
        "metadata": {"k": "v"},
        "glance_metadata": {},
        "volume_attachment": [
            Record("attachment", {"id": "a1", "attach_time": CREATED, "connector": "hush"})
        ],
    },
)

SNAPSHOT = Record(
    "snapshot",
    {
        "id": "s1",
        "project_id": "blue",
        "user_id": "alice",
        "volume_id": "v1",
        "volume_size": 3,
        "display_name": "copy",
        "created_at": CREATED,
        "status": "available",
        "deleted": False,
        "metadata": {"k": "v"},
        "volume": VOLUME,
    },
)


BACKUP = Record(
    "backup",
    {
        "id": "b1",
        "project_id": "blue",
        "user_id": "alice",
        "availability_zone": "nova",
        "host": "node",
        "display_name": "nightly",
        "created_at": CREATED,
        "status": "creating",
        "volume_id": "v1",
        "size": 3,
        "service_metadata": "p",
        "service": "posix",
        "fail_reason": None,
        "parent_id": None,
        "num_dependent_backups": 0,
        "snapshot_id": None,
        "encryption_key_id": "hush",
    },
)


@pytest.fixture
def request_context():
    return RequestContext.from_wire(of("create_volume").context)


@pytest.fixture
def notifier(configured):
    """A function that makes a notifier whose driver keeps its messages."""
    made = []

    def notifier(*drivers, url="kombu+memory://", **options):
        conf = configured(url, notifications={"driver": drivers, **options})
        made.append(Notifier(conf, host="node@lvm"))
        return made[-1]

    oslo_test.reset()
    yield notifier
    oslo_test.reset()
    for one in made:
        one.close()


@pytest.fixture
def last():
    """A function that returns the last notification and its context."""

    def last():
        until(lambda: oslo_test.NOTIFICATIONS, 10, "a notification")
        context, message, priority, _retry = oslo_test.NOTIFICATIONS[-1]
        assert priority == "INFO"
        return message, context

    return last


def test_a_backup_is_told_as_cinder_tells_it(notifier, last, request_context):
    notifier("test").backup(request_context, "createprogress", BACKUP, backup_percent=40)

    message, _ = last()
    assert message["event_type"] == "backup.createprogress"
    assert message["publisher_id"] == "backup.node@lvm"
    assert message["payload"] == {
        "tenant_id": "blue",
        "user_id": "alice",
        "availability_zone": "nova",
        "backup_id": "b1",
        "host": "node",
        "display_name": "nightly",
        "created_at": "2026-01-02T03:04:05+00:00",
        "status": "creating",
        "volume_id": "v1",
        "size": 3,
        "service_metadata": "p",
        "service": "posix",
        "fail_reason": None,
        "parent_id": None,
        "num_dependent_backups": 0,
        "snapshot_id": None,
        "backup_percent": 40,
    }


def test_a_volume_is_told_as_cinder_tells_it(notifier, last, request_context):
    notifier("test").volume(request_context, "create.start", VOLUME)

    message, _ = last()
    payload = message["payload"]
    now = datetime.datetime.now(datetime.UTC)
    launched = datetime.datetime.fromisoformat(payload.pop("launched_at"))
    assert abs(now - launched) < datetime.timedelta(minutes=1)
    assert message["event_type"] == "volume.create.start"
    assert payload == {
        "tenant_id": "blue",
        "user_id": "alice",
        "host": "node@lvm#gold",
        "availability_zone": "nova",
        "volume_id": "v1",
        "volume_type": "t1",
        "display_name": "disk",
        "created_at": "2026-01-02T03:04:05+00:00",
        "status": "creating",
        "snapshot_id": None,
        "size": 3,
        "replication_status": None,
        "replication_extended_status": None,
        "replication_driver_data": None,
        "metadata": [{"key": "k", "value": "v"}],
        "volume_attachment": [{"id": "a1", "attach_time": "2026-01-02T03:04:05+00:00"}],
    }


OWNED = {"user_id": "alice", "created_at": CREATED, "status": "creating", "name": "pair"}
TOLD = {**OWNED, "tenant_id": "blue", "created_at": "2026-01-02T03:04:05+00:00"}


@pytest.mark.parametrize(
    ("kind", "columns", "payload"),
    [
        (
            "group",
            {"id": "g1", "availability_zone": "nova", "group_type_id": "t1"},
            {"group_id": "g1", "availability_zone": "nova", "group_type": "t1"},
        ),
        (
            "group_snapshot",
            {"id": "s1", "group_id": "g1", "group_type_id": "t1"},
            {"group_snapshot_id": "s1", "group_id": "g1", "group_type": "t1"},
        ),
        (
            "consistencygroup",
            {"id": "g1", "availability_zone": "nova"},
            {"consistencygroup_id": "g1", "availability_zone": "nova"},
        ),
        (
            "cgsnapshot",
            {"id": "s1", "consistencygroup_id": "g1"},
            {"cgsnapshot_id": "s1", "consistencygroup_id": "g1"},
        ),
    ],
)
def test_a_group_is_told_as_cinder_tells_it(
    notifier, last, request_context, kind, columns, payload
):
    group = Record(kind, {**OWNED, "project_id": "blue", **columns})
    notifier("test").group(request_context, "create.end", group)

    message, _ = last()
    assert message["event_type"] == f"{kind}.create.end"
    assert message["publisher_id"] == f"{kind}.node@lvm"
    assert message["payload"] == {**TOLD, **payload}


def test_an_image_volume_has_its_image(notifier, last, request_context):
    volume = VOLUME.replace(glance_metadata={"image_id": "i1"})
    notifier("test").volume(request_context, "delete.start", volume)

    assert last()[0]["payload"]["glance_metadata"] == [{"key": "image_id", "value": "i1"}]


def test_a_snapshot_is_told_as_cinder_tells_it(notifier, last, request_context):
    notifier("test").snapshot(request_context, "create.end", SNAPSHOT)

    message, _ = last()
    assert message["event_type"] == "snapshot.create.end"
    assert message["publisher_id"] == "snapshot.node@lvm"
    assert message["payload"] == {
        "tenant_id": "blue",
        "user_id": "alice",
        "availability_zone": "nova",
        "volume_id": "v1",
        "volume_size": 3,
        "snapshot_id": "s1",
        "display_name": "copy",
        "created_at": "2026-01-02T03:04:05+00:00",
        "status": "available",
        "deleted": "",
        "metadata": "{'k': 'v'}",
    }


def test_a_deleted_snapshot_says_so_even_without_its_volume(notifier, last, request_context):
    gone = SNAPSHOT.replace(deleted=True, volume=None)
    notifier("test").snapshot(request_context, "delete.end", gone)

    payload = last()[0]["payload"]
    assert (payload["deleted"], payload["availability_zone"]) == ("True", None)


@pytest.mark.parametrize(
    ("event", "publisher"),
    [
        ("create.start", "volume.node@lvm#gold"),
        ("create.end", "volume.node@lvm#gold"),
        ("manage_existing.end", "volume.node@lvm#gold"),
        ("delete.start", "volume.node@lvm"),
        ("resize.end", "volume.node@lvm"),
        ("retype", "volume.node@lvm"),
    ],
)
def test_the_publisher_of_an_event(notifier, last, request_context, event, publisher):
    notifier("test").volume(request_context, event, VOLUME)

    assert last()[0]["publisher_id"] == publisher


def test_a_volume_whose_host_is_gone_is_told_by_the_backend(notifier, last, request_context):
    notifier("test").volume(request_context, "create.end", VOLUME.replace(host=None))

    assert last()[0]["publisher_id"] == "volume.node@lvm"


def test_what_an_operation_adds_wins(notifier, last, request_context):
    notifier("test").volume(request_context, "resize.end", VOLUME, size=9)

    assert last()[0]["payload"]["size"] == 9


def test_a_managing_error_is_shown_as_deleting(notifier, last, request_context):
    volume = VOLUME.replace(status="error_managing_deleting")
    notifier("test").volume(request_context, "delete.start", volume)

    assert last()[0]["payload"]["status"] == "deleting"


def test_who_asked_is_told_without_secrets(notifier, last, request_context):
    notifier("test").volume(request_context, "create.end", VOLUME)

    message, context = last()
    assert context["request_id"] == request_context.request_id
    assert request_context.to_wire()["auth_token"]
    assert context["auth_token"] is None
    assert "hush" not in json.dumps(message)


@pytest.mark.parametrize("drivers", [(), ("noop",), ("",)])
def test_nothing_is_done_when_nobody_listens(notifier, drivers):
    def explode():
        raise AssertionError("a relation was loaded for nobody")

    lazy = dict.fromkeys(("metadata", "glance_metadata", "volume_attachment"), explode)
    silent = notifier(*drivers)

    silent.volume(None, "create.start", Record("volume", {"id": "v1"}, lazy))
    silent.snapshot(None, "create.start", Record("snapshot", {"id": "s1"}, lazy))

    assert not silent.enabled
    assert silent._transport is None


def test_one_listener_beside_noop_is_enough(notifier, last, request_context):
    notifier("noop", "test").volume(request_context, "create.end", VOLUME)

    assert last()[0]["event_type"] == "volume.create.end"


@pytest.mark.parametrize("broken", [Record("volume", {"id": "v1"}), VOLUME.replace(metadata=5)])
def test_what_cannot_be_told_fails_no_operation(notifier, caplog, request_context, broken):
    with caplog.at_level(logging.WARNING):
        notifier("test").volume(request_context, "create.end", broken)

    assert "notification volume.create.end of v1 was not sent" in caplog.text
    assert not oslo_test.NOTIFICATIONS


def test_a_bus_that_is_away_fails_no_operation(notifier, caplog, request_context):
    away = notifier("messagingv2", url="rabbit://u:hush@127.0.0.1:1/", retry=0)
    with caplog.at_level(logging.INFO):
        away.volume(request_context, "create.start", VOLUME)
        away.volume(request_context, "create.end", VOLUME)
        assert away.flush(30)

    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.INFO]
    assert line.startswith("notifications are not sent, operations continue without them: ")
    assert away.dropped == 2
    assert "hush" not in caplog.text


def test_notifications_wait_for_a_bus_that_is_away(notifier, caplog, request_context):
    away = notifier("messagingv2", url="rabbit://u:hush@127.0.0.1:1/")
    with caplog.at_level(logging.INFO):
        away.volume(request_context, "create.end", VOLUME)
        until(lambda: "notifications are not sent" in caplog.text, 30, "a warning")
        away.close()

    assert away.dropped == 1
    assert caplog.messages[-1] == "1 notifications were not sent before the stop"


def test_a_notification_is_of_the_time_of_its_event(notifier, request_context):
    said = notifier("test")
    hold = threading.Event()
    said.queue._send, send = lambda one: (hold.wait(10), send(one)), said.queue._send
    volume, extra = VOLUME, {"list": [1]}
    said.volume(request_context, "create.end", volume, **extra)
    put = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    extra["list"].append(2)
    hold.set()

    assert said.flush(10)
    message = oslo_test.NOTIFICATIONS[-1][1]
    assert datetime.datetime.fromisoformat(message["timestamp"]) <= put
    assert message["payload"]["list"] == [1]


def test_attempts_end_where_the_configuration_limits_them(notifier):
    assert notifier("test").retry == 1
    assert notifier("test", retry=7).retry == 7
