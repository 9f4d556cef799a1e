# SPDX-License-Identifier: Apache-2.0
"""From Cinder's message to a flow, its arguments and its locks."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from flows.group import create_from, create_snapshot, delete, update
from flows.volume import create, create_from_image, manage, reimage, upload
from flows.volume.encryption import clone
from flows.volume.image_volumes import upload_by_clone
from flows.volume.migration import complete, migrate, retype
from tests.dispatchers import backup_dispatcher, volume_dispatcher
from tests.unit.rpc.samples import SAMPLES, of
from worker.endpoints.group import GroupReplicationEndpoint
from worker.endpoints.volume import RPC_VERSION, VolumeEndpoint
from worker.rpc.dispatch import BadArguments, DirectCall, Dispatcher
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

VOLUME = "11111111-1111-1111-1111-111111111111"
IMAGE = "22222222-2222-2222-2222-222222222222"


@pytest.fixture
def dispatcher() -> Dispatcher:
    return volume_dispatcher()


def test_operations_that_are_done_in_a_moment(dispatcher: Dispatcher) -> None:
    assert dispatcher.quick == {
        *("initialize_connection", "terminate_connection", "remove_export"),
        *("initialize_connection_snapshot", "terminate_connection_snapshot"),
        *("remove_export_snapshot", "attach_volume", "detach_volume"),
        *("attachment_update", "attachment_delete", "extend_volume_completion"),
        *("accept_transfer", "update_group", "update_consistencygroup"),
        *("freeze_host", "thaw_host"),
    }
    assert backup_dispatcher().quick == {"export_record", "import_record", "reset_status"}


def asked(dispatcher: Dispatcher, message: Any, context: Any = None) -> Operation:
    operation = dispatcher.dispatch(message, context or {})
    assert isinstance(operation, Operation)
    return operation


def sent(dispatcher: Dispatcher, method: str) -> Operation:
    """Return the operation of a message of a running Cinder."""
    sample = of(method)
    return asked(dispatcher, sample.message, sample.context)


def made(dispatcher: Dispatcher, method: str, version: str = "3.0", **args: Any) -> Operation:
    return asked(dispatcher, {"method": method, "version": version, "args": args})


class TestGroups:
    def test_a_snapshot_of_a_group_keeps_the_group(self, dispatcher: Dispatcher) -> None:
        operation = sent(dispatcher, "create_group_snapshot")
        data = of("create_group_snapshot").message["args"]["group_snapshot"]
        group = data["versioned_object.data"]["group_id"]

        assert operation.factory is create_snapshot.flow
        assert operation.resource[0] == operation.args["kind"] == "group_snapshot"
        assert operation.exclusive == (f"{operation.resource[1]}-group",)
        assert operation.shared == (f"{group}-group",)

    def test_a_group_that_is_deleted_waits_for_them(self, dispatcher: Dispatcher) -> None:
        operation = sent(dispatcher, "delete_group")

        assert operation.factory is delete.flow
        assert operation.exclusive == (f"{operation.resource[1]}-group",)

    def test_a_source_stays_while_it_is_copied(self, dispatcher: Dispatcher) -> None:
        operation = sent(dispatcher, "create_group_from_src")
        source = operation.args["snapshot_id"]

        assert operation.factory is create_from.flow
        assert operation.args["source_id"] is None
        assert operation.shared == (f"{source}-group",)

    def test_lists_of_ids(self, dispatcher: Dispatcher) -> None:
        operation = sent(dispatcher, "update_group")

        assert operation.factory is update.flow
        assert (len(operation.args["add"]), operation.args["remove"]) == (1, [])

    @pytest.mark.parametrize("ids", ["../x", 7, "a,,b"])
    def test_lists_that_are_none(self, dispatcher: Dispatcher, ids: Any) -> None:
        with pytest.raises(BadArguments):
            made(dispatcher, "update_group", group={"id": VOLUME}, add_volumes=ids)

    def test_groups_of_old_are_of_their_own_kind(self, dispatcher: Dispatcher) -> None:
        operation = made(dispatcher, "create_cgsnapshot", cgsnapshot={"id": VOLUME})

        assert operation.args == {"kind": "cgsnapshot", "resource_id": VOLUME}


class TestImages:
    @pytest.mark.parametrize(
        ("volume", "spec", "factory"),
        [
            ({}, {"image_id": IMAGE}, create_from_image.flow),
            ({}, {"image_id": None}, create.flow),
            ({}, None, create.flow),
            ({"source_volid": IMAGE}, {"image_id": IMAGE}, create.flow),
            ({"snapshot_id": IMAGE}, {"image_id": IMAGE}, create.flow),
            ({"source_volid": IMAGE, "encryption_key_id": "k"}, None, clone.flow),
            ({"source_volid": IMAGE, "encryption_key_id": None}, None, create.flow),
            ({"snapshot_id": IMAGE, "encryption_key_id": "k"}, None, create.flow),
            ({"encryption_key_id": "k"}, None, create.flow),
        ],
    )
    def test_which_flow_creates(
        self, dispatcher: Dispatcher, volume: Any, spec: Any, factory: Any
    ) -> None:
        row = {"id": VOLUME, **volume}
        operation = made(dispatcher, "create_volume", volume=row, request_spec=spec)

        assert operation.factory is factory
        assert operation.args.get("image_id") == (
            IMAGE if factory is create_from_image.flow else None
        )

    def test_an_image_that_cannot_be_one(self, dispatcher: Dispatcher) -> None:
        with pytest.raises(BadArguments):
            spec = {"image_id": "../../etc/passwd"}
            made(dispatcher, "create_volume", volume={"id": VOLUME}, request_spec=spec)

    def test_upload_and_reimage(self, dispatcher: Dispatcher) -> None:
        uploaded, reimaged = (sent(dispatcher, m) for m in ("copy_volume_to_image", "reimage"))

        assert (uploaded.factory, reimaged.factory) == (upload.flow, reimage.flow)
        assert uploaded.args["image_meta"]["disk_format"] == "raw"
        assert reimaged.args["snapshot_id"] is None

    @pytest.mark.parametrize(
        ("formats", "by_clone"),
        [
            ({"disk_format": "raw", "container_format": "bare"}, True),
            ({"disk_format": "raw"}, True),
            ({"disk_format": "qcow2", "container_format": "bare"}, False),
            ({"disk_format": "raw", "container_format": "compressed"}, False),
        ],
    )
    def test_an_upload_by_clone_locks_both(self, formats: dict[str, str], by_clone: bool) -> None:
        endpoint = VolumeEndpoint(clone_uploads=True)
        meta = {"id": IMAGE, **formats}
        asked = endpoint.copy_volume_to_image(RequestContext({}), VOLUME, meta)

        assert asked.factory == (upload_by_clone.flow if by_clone else upload.flow)
        ids = [VOLUME, *([asked.args["image_volume_id"]] if by_clone else [])]
        assert asked.exclusive == tuple(f"{one}-delete_volume" for one in ids)

    def test_the_snapshot_of_a_reimage_stays_meanwhile(self, dispatcher: Dispatcher) -> None:
        reimaged = made(
            dispatcher,
            "reimage",
            volume={"id": VOLUME},
            image_meta={"id": VOLUME},
            image_snap={"id": IMAGE},
        )

        assert reimaged.shared == (f"{IMAGE}-delete_snapshot",)


class TestMigrations:
    def test_a_retype_and_a_migration_take_their_time(self, dispatcher: Dispatcher) -> None:
        retyped, migrated = (sent(dispatcher, m) for m in ("retype", "migrate_volume"))

        assert (retyped.factory, migrated.factory) == (retype.flow, migrate.flow)
        assert retyped.moves_data and migrated.moves_data
        assert len(retyped.args["reservations"]) == len(retyped.args["old_reservations"]) == 2
        assert migrated.args["host"]["host"] == "peerhost@noop2#pool0"

    @pytest.mark.parametrize("host", [None, "h@b#p", {}, {"host": ""}, {"host": 7}, ["h@b#p"]])
    def test_hosts_that_are_none(self, dispatcher: Dispatcher, host: Any) -> None:
        with pytest.raises(BadArguments):
            made(dispatcher, "migrate_volume", "3.5", volume={"id": VOLUME}, host=host)

    @pytest.mark.parametrize("type_id", [None, "../x", 7, ""])
    def test_types_that_are_none(self, dispatcher: Dispatcher, type_id: Any) -> None:
        args = {"volume": {"id": VOLUME}, "host": {"host": "h@b#p"}, "new_type_id": type_id}
        with pytest.raises(BadArguments):
            made(dispatcher, "retype", "3.5", **args)

    def test_an_error_is_another_flow(self, dispatcher: Dispatcher) -> None:
        both = {"volume": {"id": VOLUME}, "new_volume": {"id": IMAGE}}
        for error, flow in (
            (False, complete.completion),
            (True, complete.abandonment),
        ):
            operation = made(dispatcher, "migrate_volume_completion", **both, error=error)

            assert operation.factory is flow
            assert operation.args["spare_id"] == IMAGE

    def test_the_copys_service_does_not_wait_for_the_volumes(self, dispatcher: Dispatcher) -> None:
        operation = sent(dispatcher, "update_migrated_volume")
        copy = operation.args["spare_id"]

        assert operation.exclusive == (f"{copy}-delete_volume",)
        assert operation.args["old"]["provider_location"] is None
        assert operation.args["volume_status"] == "available"


def test_a_reference_goes_on_as_it_came(dispatcher: Dispatcher) -> None:
    operation = sent(dispatcher, "manage_existing")

    assert operation.factory is manage.flow
    assert operation.args["ref"] == {"source-name": "lun-1"}


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.service == "cinder-volume"], ids=str)
def test_every_message_of_cinder_fits_a_method(dispatcher: Dispatcher, sample: Any) -> None:
    dispatcher.dispatch(sample.message, sample.context)


class TestReplicationTargets:
    """Callers without administrator's rights see the ids of the targets only."""

    DEVICE: ClassVar = {"backend_id": "second", "san_login": "admin"}

    @pytest.mark.parametrize(
        ("roles", "is_admin", "shown"),
        [([], False, {"backend_id": "second"}), (["admin"], True, DEVICE)],
    )
    def test_details_are_for_administrators(
        self, roles: list[str], is_admin: bool, shown: dict[str, str]
    ) -> None:
        class Targets:
            def replication_targets(self, group_id: str) -> list[dict[str, str]]:
                return [TestReplicationTargets.DEVICE]

        dispatcher = Dispatcher([GroupReplicationEndpoint(Targets())], RPC_VERSION)
        message = {"method": "list_replication_targets", "version": "3.14"}
        context = {"roles": roles, "is_admin": is_admin}
        call = dispatcher.dispatch({**message, "args": {"group": {"id": VOLUME}}}, context)

        assert isinstance(call, DirectCall)
        assert call.invoke() == {"replication_targets": [shown]}
