# SPDX-License-Identifier: Apache-2.0
"""Connections and attachments: calls, and the caller's errors."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.functional.cloud import BACKEND, Cloud

CONNECTOR = {"host": "compute", "ip": "127.0.0.1", "initiator": "iqn.2005-03.org.x:1"}
BACKEND_ERROR = "VolumeBackendAPIException"


class TestInitializeConnection:
    def test_it_answers_how_to_connect(self, cloud: Cloud) -> None:
        volume = cloud.existing()
        cloud.script.plan(create_export={"return": {"provider_location": "export 1"}})
        info = cloud.call("initialize_connection", volume=volume, connector=CONNECTOR)

        assert info["driver_volume_type"] == "iscsi"
        data = info["data"]
        assert data["target_lun"] == 1
        assert (data["access_mode"], data["encrypted"], data["qos_specs"]) == ("rw", False, None)
        assert data["enforce_multipath"] is False
        assert cloud.records.volumes.get(volume.id).provider_location == "export 1"
        made = [c["method"] for c in cloud.script.calls() if c.get("id") == volume.id]
        assert made == ["create_export", "initialize_connection"]

    def test_a_read_only_volume_says_so(self, cloud: Cloud) -> None:
        volume = cloud.existing()
        cloud.records.volumes.set_admin_metadata(volume.id, readonly="True")
        info = cloud.call("initialize_connection", volume=volume, connector=CONNECTOR)

        assert info["data"]["access_mode"] == "ro"

    @pytest.mark.parametrize(
        ("plan", "kind", "exported"),
        [
            pytest.param(
                {"validate_connector": {"raise": "InvalidConnectorException"}},
                "InvalidInput",
                False,
                id="connector-refused",
            ),
            pytest.param(
                {"validate_connector": {"raise": "OSError"}}, BACKEND_ERROR, False, id="validation"
            ),
            pytest.param({"create_export": {"raise": "OSError"}}, BACKEND_ERROR, True, id="export"),
            pytest.param(
                {"create_export": {"return": {"nonsense": 1}}}, "ExportFailure", True, id="column"
            ),
            pytest.param(
                {"initialize_connection": {"raise": "SystemExit"}}, None, True, id="no-exception"
            ),
            pytest.param(
                {"initialize_connection": {"raise": "OSError"}}, BACKEND_ERROR, True, id="connect"
            ),
            pytest.param(
                {"initialize_connection": {"return": None}}, BACKEND_ERROR, True, id="nothing"
            ),
            pytest.param(
                {"initialize_connection": {"return": {"driver_volume_type": "x"}}},
                BACKEND_ERROR,
                True,
                id="no-data",
            ),
        ],
    )
    def test_a_failure_removes_the_export_and_keeps_the_status(
        self, cloud: Cloud, plan: dict[str, Any], kind: str | None, exported: bool
    ) -> None:
        volume = cloud.existing("reserved")
        cloud.script.plan(**plan)
        found, text = cloud.failure("initialize_connection", volume=volume, connector=CONNECTOR)

        if kind is not None:
            assert (found, volume.id in text) == (kind, True)
        assert cloud.status(volume) == "reserved"
        removed = [c for c in cloud.script.calls("remove_export") if c["id"] == volume.id]
        assert bool(removed) == exported

    def test_what_a_driver_keeps_for_an_initiator_comes_back(self, cloud: Cloud) -> None:
        volume = cloud.existing()
        connector = {**CONNECTOR, "initiator": f"iqn.{uuid.uuid4()}"}
        answer = {"driver_volume_type": "iscsi", "data": {}}
        steps = [
            {"set_values": {"a": "1", "b": "2"}},
            {"set_values": {"b": "3"}, "remove_values": ["a"]},
            {},
        ]
        for updates in steps:
            plan = {"return": {**answer, "initiator_updates": updates}}
            cloud.script.plan(initialize_connection=plan)
            info = cloud.call("initialize_connection", volume=volume, connector=connector)
            assert "initiator_updates" not in info

        calls = [c for c in cloud.script.calls("initialize_connection") if c["id"] == volume.id]
        handed = [call["initiator_data"] for call in calls]
        assert handed == [None, {"a": "1", "b": "2"}, {"b": "3"}]
        assert cloud.records.initiators.get(connector["initiator"], BACKEND) == {"b": "3"}


class TestTerminate:
    @pytest.mark.parametrize("connector", [CONNECTOR, None])
    def test_it_ends(self, cloud: Cloud, connector: dict[str, str] | None) -> None:
        volume = cloud.existing("in-use")
        cloud.call("terminate_connection", volume_id=volume.id, connector=connector, force=True)

        calls = [c for c in cloud.script.calls("terminate_connection") if c["id"] == volume.id]
        assert [call["connector"] for call in calls] == [connector]

    def test_a_failure_goes_to_the_caller(self, cloud: Cloud) -> None:
        volume = cloud.existing("in-use")
        cloud.script.plan(terminate_connection={"raise": "OSError"})
        kind, _text = cloud.failure(
            "terminate_connection", volume_id=volume.id, connector=CONNECTOR
        )

        assert kind == BACKEND_ERROR

    def test_removing_the_export(self, cloud: Cloud) -> None:
        volume = cloud.existing()
        assert cloud.call("remove_export", volume_id=volume.id) is None
        cloud.script.plan(remove_export={"raise": "OSError"})

        assert cloud.failure("remove_export", volume_id=volume.id)[0] == BACKEND_ERROR


class TestAttachAsBefore:
    def args(self, volume: Any, **more: Any) -> dict[str, Any]:
        return {
            "volume_id": volume.id,
            "instance_uuid": str(uuid.uuid4()),
            "host_name": None,
            "mountpoint": "/dev/vdb",
            "mode": "rw",
            **more,
        }

    def test_it_answers_the_attachment(self, cloud: Cloud) -> None:
        volume = cloud.existing("attaching")
        args = self.args(volume)
        answer = cloud.call("attach_volume", "3.3", **args)

        assert answer["versioned_object.name"] == "VolumeAttachment"
        data = answer["versioned_object.data"]
        assert (data["attach_status"], data["mountpoint"]) == ("attached", "/dev/vdb")
        row = cloud.records.volumes.get(volume.id)
        assert (row.status, row.attach_status) == ("in-use", "attached")
        assert row.admin_metadata["attached_mode"] == "rw"
        told = [c for c in cloud.script.calls("attach_volume") if c["id"] == volume.id]
        assert [c["instance"] for c in told] == [args["instance_uuid"]]

    def test_twice_is_once(self, cloud: Cloud) -> None:
        volume = cloud.existing("attaching")
        args = self.args(volume)
        first = cloud.call("attach_volume", "3.3", **args)
        second = cloud.call("attach_volume", "3.3", **args)

        assert first["versioned_object.data"]["id"] == second["versioned_object.data"]["id"]

    @pytest.mark.parametrize(
        ("plan", "more", "kind"),
        [
            pytest.param({"raise": "OSError"}, {}, BACKEND_ERROR, id="driver"),
            pytest.param({}, {"instance_uuid": "no uuid"}, "InvalidUUID", id="no-uuid"),
        ],
    )
    def test_a_failure_leaves_the_attachment_in_error(
        self, cloud: Cloud, plan: dict[str, Any], more: dict[str, Any], kind: str
    ) -> None:
        volume = cloud.existing("attaching")
        cloud.script.plan(attach_volume=plan)
        found, _text = cloud.failure("attach_volume", "3.3", **self.args(volume, **more))

        assert found == kind
        (attachment,) = cloud.records.attachments.of_volume(volume.id)
        assert attachment.attach_status == "error_attaching"
        assert cloud.status(volume) == "attaching"

    def test_detaching_the_only_one(self, cloud: Cloud) -> None:
        volume = cloud.existing("in-use", attach_status="attached")
        attachment = cloud.attachment(volume, "attached")
        cloud.call("detach_volume", "3.4", volume_id=volume.id, attachment_id=None)

        row = cloud.records.volumes.get(volume.id)
        assert (row.status, row.attach_status) == ("available", "detached")
        assert cloud.records.attachments.of_volume(volume.id) == []
        told = [c for c in cloud.script.calls("detach_volume") if c["id"] == volume.id]
        assert [c["attachment"] for c in told] == [attachment.id]

    def test_two_attachments_want_a_choice(self, cloud: Cloud) -> None:
        volume = cloud.existing("in-use", attach_status="attached", multiattach=True)
        one, other = cloud.attachment(volume, "attached"), cloud.attachment(volume, "attached")
        kind, _text = cloud.failure("detach_volume", "3.4", volume_id=volume.id)
        cloud.call("detach_volume", "3.4", volume_id=volume.id, attachment_id=one.id)

        assert kind == "InvalidVolume"
        assert cloud.status(volume) == "in-use"
        assert [a.id for a in cloud.records.attachments.of_volume(volume.id)] == [other.id]


class TestAttachments:
    def test_update_connects_and_reserves(self, cloud: Cloud) -> None:
        volume = cloud.existing("reserved", attach_status="reserved")
        attachment = cloud.attachment(volume, "reserved", attach_mode="null")
        info = cloud.call(
            "attachment_update",
            "3.9",
            vref=volume_object(volume),
            connector=CONNECTOR,
            attachment_id=attachment.id,
        )

        assert info["attachment_id"] == attachment.id
        assert (info["driver_volume_type"], info["target_lun"]) == ("iscsi", 1)
        row = cloud.records.attachments.get(attachment.id)
        assert row.attach_status == "attaching"
        assert json.loads(row.connector)["host"] == "compute"
        assert (row.attached_host, row.mountpoint) == ("compute", "na")
        (notified,) = [c for c in cloud.script.calls("attach_volume") if c["id"] == volume.id]
        assert (notified["host"], notified["mountpoint"]) == ("compute", "na")
        assert cloud.status(volume) == "attaching"

    def test_a_failed_update_leaves_both_as_they_were(self, cloud: Cloud) -> None:
        volume = cloud.existing("reserved", attach_status="reserved")
        attachment = cloud.attachment(volume)
        cloud.script.plan(initialize_connection={"raise": "OSError"})
        kind, _text = cloud.failure(
            "attachment_update",
            "3.9",
            vref=volume_object(volume),
            connector=CONNECTOR,
            attachment_id=attachment.id,
        )

        assert kind == BACKEND_ERROR
        assert cloud.records.attachments.get(attachment.id).attach_status == "reserved"
        assert cloud.status(volume) == "reserved"

    def test_delete_disconnects_and_writes_nothing(self, cloud: Cloud) -> None:
        volume = cloud.existing("in-use", attach_status="attached")
        attachment = cloud.attachment(volume, "attached", connector=json.dumps(CONNECTOR))
        cloud.call(
            "attachment_delete", "3.9", attachment_id=attachment.id, vref=volume_object(volume)
        )

        made = [c["method"] for c in cloud.script.calls() if c.get("id") == volume.id]
        assert made == ["terminate_connection", "detach_volume", "remove_export"]
        assert cloud.records.attachments.get(attachment.id).attach_status == "attached"
        assert cloud.status(volume) == "in-use"


class TestCallsWithoutAFlow:
    def test_capabilities_are_cached_until_asked_to_discover(self, cloud: Cloud) -> None:
        properties = cloud.call("get_capabilities", discover=False)["properties"]
        before = len(cloud.script.calls("get_volume_stats"))
        cloud.call("get_capabilities", discover=False)
        cached = len(cloud.script.calls("get_volume_stats"))
        found = cloud.call("get_capabilities", discover=True)

        assert cached == before
        assert cloud.script.calls("get_volume_stats")[before]["refresh"] is True
        assert found["total_capacity_gb"] == 100
        assert found["properties"] == properties
        assert "thin_provisioning" in properties

    def test_secure_file_operations(self, cloud: Cloud) -> None:
        volume = cloud.existing()

        assert cloud.call("secure_file_operations_enabled", volume=volume) is True

    def test_log_levels(self, cloud: Cloud) -> None:
        def level(prefix: str, wanted: str | None = None) -> dict[str, Any]:
            data = {"prefix": prefix, "level": wanted}
            return {
                "versioned_object.name": "LogLevel",
                "versioned_object.namespace": "cinder",
                "versioned_object.version": "1.0",
                "versioned_object.data": data,
            }

        cloud.client("3.12").call({}, "set_log_levels", log_request=level("worker.locks", "error"))
        answer = cloud.call("get_log_levels", "3.12", log_request=level("worker.locks"))

        (found,) = answer["versioned_object.data"]["objects"]
        assert found["versioned_object.data"] == {"prefix": "worker.locks", "level": "ERROR"}


def volume_object(volume: Any) -> dict[str, Any]:
    """Return a volume as it travels under another name than ``volume``."""
    from worker.rpc import objects

    return objects.volume(volume)
