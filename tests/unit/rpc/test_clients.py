# SPDX-License-Identifier: Apache-2.0
"""Messages to other services, over a bus, compared with Cinder's."""

from __future__ import annotations

import copy
import datetime
import re
import uuid
from types import SimpleNamespace

import oslo_messaging
import pytest

from drivers.interface.records import Record
from flows.errors import InvalidVolume
from tests.unit.rpc.samples import SAMPLES, of
from worker.compat import oslo_messaging as compat
from worker.rpc import codec, objects, transport
from worker.rpc.clients import scheduler as scheduler_client
from worker.rpc.clients import service as service_client
from worker.rpc.clients.scheduler import SchedulerClient
from worker.rpc.clients.sender import BusUnavailable
from worker.rpc.clients.volume import METHODS, VolumeClient
from worker.rpc.request_context import RequestContext

VOLUME_SAMPLES = [sample for sample in SAMPLES if sample.service == "cinder-volume"]


NO_ROWS = ("log_request", "cleanup_request", "request_spec")
"""Objects that the sender makes, or has received."""


@pytest.fixture
def request_context():
    return RequestContext.from_wire(of("create_volume").context)


@pytest.fixture
def node():
    """A node of this test only: all tests share one bus."""
    return f"node-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def host(service, node):
    """``host@backend#pool`` of a volume service that listens as ours does."""
    service.listen(f"cinder-volume.{node}@lvm", node)
    return f"{node}@lvm#gold"


class TestMethods:
    @pytest.mark.parametrize("sample", VOLUME_SAMPLES, ids=str)
    def test_are_sent_as_cinder_sends_them(self, sample):
        method, args = METHODS[sample.method], sample.message["args"]

        method.check(sample.method, args)
        assert method.version == sample.message["version"]
        assert method.fanout == ("fanout" in sample.routing_key or not sample.routing_key)
        if sample.method != "remove_export":  # sent both ways
            assert method.answers == (sample.kind == "call")

    @pytest.mark.parametrize("sample", VOLUME_SAMPLES, ids=str)
    def test_what_is_an_object_on_the_wire_is_made_one_of_a_row(self, sample):
        for name, value in sample.message["args"].items():
            if not codec.is_object(value) or name in NO_ROWS:
                continue
            told = ("id", "group_id", "group_type_id")  # by which kinds of groups differ
            row = {field: None for field in told if field in value["versioned_object.data"]}
            made = VolumeClient.encoders[name](row, objects.OBJECT_VERSION)
            assert made["versioned_object.name"] == value["versioned_object.name"]

    def test_are_all_that_the_capture_has_and_those_it_could_not_have(self):
        unseen = METHODS.keys() - {sample.method for sample in VOLUME_SAMPLES}

        assert not {sample.method for sample in VOLUME_SAMPLES} - METHODS.keys()
        ours = {"get_changed_extents", "list_backend_objects"}
        assert unseen == {"failover_host", "failover_completed", *ours} | {
            name for name in METHODS if "consistencygroup" in name or "cgsnapshot" in name
        }

    def test_never_need_more_than_our_version(self):
        assert all(1 <= len(m.version.split(".")[1]) <= 2 for m in METHODS.values())
        assert all(0 <= int(m.version.removeprefix("3.")) <= 20 for m in METHODS.values())


class TestVolumeClient:
    def test_a_cast_of_a_record_is_what_a_scheduler_sends(
        self, bus, service, host, request_context
    ):
        sample = of("create_volume")
        sent = copy.deepcopy(sample.message["args"])
        data = sent["volume"]["versioned_object.data"]
        row = {k: codec.decode(v) for k, v in data.items() if "type" not in k} | {"host": host}
        data["host"] = host

        VolumeClient(bus).cast(
            request_context,
            host,
            "create_volume",
            **{
                **sent,
                "volume": Record("volume", {**row, "volume_type_id": data["volume_type_id"]}),
            },
        )

        arrived = service.next()
        del data["volume_type"]
        assert arrived.kind == "cast"
        assert arrived.message["method"] == "create_volume"
        assert arrived.message["version"] == "3.0"
        assert arrived.args == sent
        assert RequestContext.from_wire(arrived.context).to_wire() == sample.context

    def test_a_call_brings_the_answer_with_its_objects_readable(
        self, bus, service, host, request_context
    ):
        service.answer = objects.attachment({"id": "a1", "volume_id": "v1"})

        answer = VolumeClient(bus).call(
            request_context,
            host,
            "attach_volume",
            volume_id="v1",
            instance_uuid=None,
            host_name="compute",
            mountpoint="/dev/vdb",
            mode="rw",
        )

        arrived = service.next()
        assert (arrived.kind, arrived.message["version"]) == ("call", "3.3")
        assert arrived.context["request_id"] == request_context.request_id
        assert answer.id == "a1"

    @pytest.mark.parametrize("kind", [InvalidVolume, OSError, KeyError])
    def test_a_failure_there_is_a_failure_here(self, bus, service, host, request_context, kind):
        service.answer = kind("volume v1 is not what it should be")

        with pytest.raises(oslo_messaging.RemoteError, match="volume v1 is not") as raised:
            VolumeClient(bus).call(request_context, host, "remove_export", volume_id="v1")

        assert raised.value.exc_type == kind.__name__
        assert service.next().args == {"volume_id": "v1"}

    def test_a_missing_answer_ends_the_waiting(self, bus, request_context, node):
        client = VolumeClient(bus, timeout=0.1)

        with pytest.raises(oslo_messaging.MessagingTimeout):
            client.call(request_context, f"{node}@lvm", "remove_export", volume_id="v1")

    def test_a_fanout_reaches_the_services_of_its_topic(self, bus, service, node, request_context):
        service.listen("cinder-volume", f"{node}@one")
        service.listen("cinder-volume", f"{node}@two")
        service.listen(f"cinder-volume.{node}@one", node)

        VolumeClient(bus).cast(request_context, None, "publish_service_capabilities")
        first, second = service.next(), service.next()
        VolumeClient(bus).cast(request_context, f"{node}@one", "failover_completed", updates={})

        assert first.topic == second.topic == "cinder-volume"
        assert service.next().topic == f"cinder-volume.{node}@one"

    def test_a_method_of_one_process_can_be_sent_to_all_of_a_backend(
        self, bus, service, node, request_context
    ):
        for server in ("first", "second"):
            service.listen(f"cinder-volume.{node}@one", server)
        service.listen(f"cinder-volume.{node}@two", node)

        VolumeClient(bus).cast_to_all(
            request_context, f"{node}@one", "set_log_levels", log_request={}
        )

        seen = [service.next(), service.next()]
        assert {one.topic for one in seen} == {f"cinder-volume.{node}@one"}

    def test_snapshots_and_decoded_objects_are_encoded(self, bus, service, host, request_context):
        volume = codec.decode(of("create_volume").message["args"]["volume"])

        VolumeClient(bus, object_version="1.38").cast(
            request_context, host, "revert_to_snapshot", volume=volume, snapshot={"id": "s1"}
        )

        args = service.next().args
        assert args["volume"] == volume.raw
        assert args["snapshot"]["versioned_object.version"] == "1.5"
        assert args["snapshot"]["versioned_object.data"]["id"] == "s1"

    @pytest.mark.parametrize(
        ("method", "args", "text"),
        [
            ("destroy_volume", {}, "no method destroy_volume"),
            ("extend_volume", {"volume": {"id": "v"}}, "lacks new_size, reservations"),
            ("delete_snapshot", {"snapshot": {}, "cascade": True}, "has no cascade"),
        ],
    )
    def test_what_no_service_takes_is_not_sent(self, bus, method, args, text):
        with pytest.raises(ValueError, match=text):
            VolumeClient(bus).cast(RequestContext.admin(), "n@lvm", method, **args)

    def test_a_cast_is_no_call(self, bus):
        with pytest.raises(ValueError, match="no answer"):
            VolumeClient(bus).call(RequestContext.admin(), "n@lvm", "delete_volume", volume={})

    def test_a_resource_without_host_is_not_sent(self, bus):
        with pytest.raises(InvalidVolume):
            VolumeClient(bus).cast(RequestContext.admin(), None, "delete_volume", volume={})


class TestSchedulerClient:
    @pytest.fixture(autouse=True)
    def _schedulers(self, service):
        service.listen("cinder-scheduler", "one")

    def test_a_volume_is_handed_back_as_cinder_volume_does(self, bus, service, request_context):
        args = of("create_volume").message["args"]
        spec = copy.deepcopy(args["request_spec"])
        del spec["versioned_object.data"]["volume_id"]
        volume = Record("volume", {"id": "v1", "host": None, "status": "creating", "size": 1})
        properties = args["filter_properties"] | {"retry": {"num_attempts": 1, "exc": ["boom"]}}

        SchedulerClient(bus).create_volume(request_context, volume, spec, properties)

        arrived = service.next()
        assert arrived.message["version"] == "3.0"
        assert arrived.args.keys() == of("create_volume", "cinder-scheduler").message["args"].keys()
        assert arrived.args["request_spec"]["versioned_object.data"]["volume_id"] == "v1"
        assert arrived.args["filter_properties"] == properties
        assert arrived.args["volume"] == objects.volume(volume)
        assert {arrived.args[k] for k in ("snapshot_id", "image_id", "backup_id")} == {None}
        assert RequestContext.from_wire(arrived.context).to_wire() == request_context.to_wire()
        assert "volume_id" not in spec["versioned_object.data"]

    def test_an_object_off_the_bus_and_none_are_handed_back_as_well(
        self, bus, service, request_context
    ):
        spec = of("create_volume").message["args"]["request_spec"]
        client, volume = SchedulerClient(bus, "1.38"), Record("volume", {"id": "v1"})

        client.create_volume(request_context, volume, codec.decode(spec), {})
        client.create_volume(request_context, volume, None, {})

        arrived = service.next()
        assert arrived.args["request_spec"]["versioned_object.data"]["volume_id"] == "v1"
        assert arrived.args["volume"]["versioned_object.version"] == "1.8"
        assert service.next().args["request_spec"] is None

    def test_a_report_goes_to_every_scheduler_and_its_notice_to_one(self, bus, service):
        service.listen("cinder-scheduler", "two")
        before = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)

        SchedulerClient(bus).report(RequestContext.admin(), "n@lvm", {"pools": []}, cluster="c@lvm")

        arrived = sorted((service.next() for _ in range(3)), key=lambda a: a.message["method"])
        notice, *updates = arrived
        assert [a.message["version"] for a in arrived] == ["3.5", "3.3", "3.3"]
        assert all(u.message["method"] == "update_service_capabilities" for u in updates)
        for message in (notice, updates[0]):
            sample = of(message.message["method"], "cinder-scheduler").message["args"]
            timestamp = message.args["timestamp"]
            assert message.args.keys() == sample.keys()
            assert message.args["service_name"] == sample["service_name"] == "volume"
            assert message.args["capabilities"] == {"pools": []}
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", timestamp)
            assert datetime.datetime.fromisoformat(timestamp) >= before
        assert (updates[0].args["host"], updates[0].args["cluster_name"]) == ("n@lvm", "c@lvm")
        assert notice.args["backend"] == "c@lvm"

    def test_a_service_without_cluster_reports_its_host(self, bus, service):
        SchedulerClient(bus).report(RequestContext.admin(), "n@lvm", {})

        arrived = {a.message["method"]: a.args for a in (service.next(), service.next())}
        assert arrived["notify_service_capabilities"]["backend"] == "n@lvm"
        assert arrived["update_service_capabilities"]["cluster_name"] is None

    def test_reports_stay_in_order_when_the_clock_is_set_back(self, bus, service, monkeypatch):
        """A scheduler drops an older report, and notifies its listeners of newer ones only."""
        client, start = SchedulerClient(bus), datetime.datetime(2026, 1, 1)
        for hours in (0, -1, -1, 1):
            clock = SimpleNamespace(utcnow=lambda h=hours: start + datetime.timedelta(hours=h))
            monkeypatch.setattr(scheduler_client, "timeutils", clock)
            client.report(RequestContext.admin(), "n@lvm", {})

        # They arrive through two queues, each in its order.
        arrived = [service.next() for _ in range(8)]
        arrived.sort(key=lambda one: one.message["method"], reverse=True)
        times = [one.args["timestamp"] for one in arrived]
        sent = [time for report in zip(times[:4], times[4:], strict=True) for time in report]
        assert sent == sorted(set(sent))
        assert sent[6] == "2026-01-01T01:00:00.000000"

    @pytest.mark.parametrize("capacity", ["unknown", "infinite", None])
    @pytest.mark.parametrize("field", ["total_capacity_gb", "free_capacity_gb"])
    def test_pools_of_unknown_capacity_are_not_notified(self, bus, service, field, capacity):
        known = {"pool_name": "p1", "total_capacity_gb": 10, "free_capacity_gb": 0.5}
        pools = [known, {**known, "pool_name": "p2", field: capacity}]

        SchedulerClient(bus).report(RequestContext.admin(), "n@lvm", {"a": 1, "pools": pools})

        arrived = {a.message["method"]: a.args for a in (service.next(), service.next())}
        notified = arrived["notify_service_capabilities"]["capabilities"]
        assert notified == {"a": 1, "pools": [known]}
        assert arrived["update_service_capabilities"]["capabilities"]["pools"] == pools


SENDS = [
    lambda bus, who: SchedulerClient(bus).report(who, "n@lvm", {}),
    lambda bus, who: SchedulerClient(bus).create_volume(
        who, Record("volume", {"id": "v1"}), None, {}
    ),
    lambda bus, who: VolumeClient(bus).cast(who, "n@lvm", "delete_volume", volume={}),
    lambda bus, who: VolumeClient(bus).call(who, "n@lvm", "freeze_host"),
]


class TestBrokerAway:
    @pytest.fixture
    def nowhere(self, configured, monkeypatch):
        for name in ("_REPORT_RETRIES", "_RESCHEDULE_RETRIES"):
            assert getattr(scheduler_client, name) > 0
            monkeypatch.setattr(scheduler_client, name, 0)
        monkeypatch.setattr(service_client, "_RETRIES", 0)
        return transport.get(configured("rabbit://u:hush@127.0.0.1:1/"), prefetch=1)

    @pytest.mark.parametrize("send", SENDS)
    def test_ends_in_one_error_after_a_bounded_time(self, nowhere, send):
        with pytest.raises(BusUnavailable, match="was not sent") as raised:
            send(nowhere, RequestContext.admin())

        assert "hush" not in str(raised.value)

    @pytest.mark.parametrize("send", SENDS)
    @pytest.mark.parametrize("kind", compat.REFUSED)
    def test_a_broker_that_refuses_the_connection_is_away(self, bus, monkeypatch, send, kind):
        def refuse(*_, **__):
            raise kind("not with this password")

        monkeypatch.setattr(bus._driver, "_get_connection", refuse)
        with pytest.raises(BusUnavailable, match="not with this password"):
            send(bus, RequestContext.admin())
