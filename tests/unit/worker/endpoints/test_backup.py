# SPDX-License-Identifier: Apache-2.0
"""From Cinder's message to its backup service to a flow, its arguments and its locks."""

from __future__ import annotations

from typing import Any

import pytest

from flows.backup import continue_, create, delete, record, reset, restore
from tests.dispatchers import backup_dispatcher
from tests.unit.rpc.samples import SAMPLES, of
from worker.rpc import objects
from worker.rpc.clients.backup import METHODS
from worker.rpc.dispatch import BadArguments, DirectCall, Dispatcher
from worker.rpc.operation import Operation

OURS = [sample for sample in SAMPLES if sample.service == "cinder-backup"]
BACKUP = "11111111-1111-1111-1111-111111111111"
FACTORIES = {
    "create_backup": create.flow,
    "continue_backup": continue_.flow,
    "restore_backup": restore.flow,
    "delete_backup": delete.flow,
    "export_record": record.export,
    "import_record": record.import_,
    "reset_status": reset.flow,
}


class Driver:
    def supports_force_delete(self) -> bool:
        return True


class Reports:
    def request_report(self) -> None:
        return None


@pytest.fixture
def dispatcher() -> Dispatcher:
    return backup_dispatcher(Driver(), Reports())


def made(dispatcher: Dispatcher, method: str, version: str = "2.0", **args: Any) -> Operation:
    message = {"method": method, "version": version, "args": args}
    operation = dispatcher.dispatch(message, {})
    assert isinstance(operation, Operation)
    return operation


class TestSamples:
    @pytest.mark.parametrize("sample", OURS, ids=str)
    def test_what_cinder_sends_is_taken(self, dispatcher: Dispatcher, sample: Any) -> None:
        answer = dispatcher.dispatch(sample.message, sample.context)
        wanted = FACTORIES.get(sample.method)
        assert (answer.factory if isinstance(answer, Operation) else None) is wanted
        if isinstance(answer, Operation):
            backup = sample.message["args"]["backup"]["versioned_object.data"]["id"]
            assert answer.resource == ("backup", backup)
            assert answer.exclusive == (f"{backup}-backup",)

    @pytest.mark.parametrize("sample", OURS, ids=str)
    def test_we_send_it_as_cinder_does(self, sample: Any) -> None:
        method = METHODS[sample.method]
        method.check(sample.method, sample.message["args"])
        assert method.version == sample.message["version"]
        assert method.answers == (sample.kind == "call")

    def test_it_can_restore_past_damage(self, dispatcher: Dispatcher) -> None:
        found = dispatcher.dispatch({"method": "can_restore_past_damage", "version": "2.0"}, {})
        assert isinstance(found, DirectCall)
        assert found.invoke() is True

    def test_our_object_has_the_fields_of_cinders(self) -> None:
        sent = of("create_backup", "cinder-backup").message["args"]["backup"]
        ours = objects.backup({"id": BACKUP, "metadata": {}})
        assert ours["versioned_object.name"] == sent["versioned_object.name"]
        assert ours["versioned_object.version"] == sent["versioned_object.version"]
        data = sent["versioned_object.data"].keys() - {"parent"}
        assert ours["versioned_object.data"].keys() == data

    def test_the_device_names_what_is_read(self, dispatcher: Dispatcher) -> None:
        sample = of("continue_backup", "cinder-backup")
        operation = dispatcher.dispatch(sample.message, sample.context)
        assert isinstance(operation, Operation)
        device = sample.message["args"]["backup_device"]["versioned_object.data"]
        assert operation.args["device"] == {
            "kind": "volume",
            "id": device["volume"]["versioned_object.data"]["id"],
            "secure": False,
        }

    def test_only_what_moves_data_waits_for_its_kind(self, dispatcher: Dispatcher) -> None:
        movers = {
            sample.method
            for sample in OURS
            if isinstance(found := dispatcher.dispatch(sample.message, {}), Operation)
            and found.moves_data
        }
        assert movers == {"continue_backup", "restore_backup"}


class TestBadInput:
    @pytest.mark.parametrize(
        "device",
        [
            None,
            "x",
            {},
            {"volume": None, "snapshot": None},
            {"volume": {"id": BACKUP}, "snapshot": {"id": BACKUP}},
            {"volume": {"id": "../x"}},
        ],
    )
    def test_a_device_that_is_none(self, dispatcher: Dispatcher, device: Any) -> None:
        with pytest.raises(BadArguments):
            made(dispatcher, "continue_backup", backup={"id": BACKUP}, backup_device=device)

    @pytest.mark.parametrize("status", ["", "nonsense", None, 7, ["error"]])
    def test_a_status_that_is_none(self, dispatcher: Dispatcher, status: Any) -> None:
        with pytest.raises(BadArguments, match="is no status of a backup"):
            made(dispatcher, "reset_status", backup={"id": BACKUP}, status=status)

    @pytest.mark.parametrize("volume", ["", "../x", None, 7])
    def test_a_volume_that_is_none(self, dispatcher: Dispatcher, volume: Any) -> None:
        with pytest.raises(BadArguments):
            made(dispatcher, "restore_backup", backup={"id": BACKUP}, volume_id=volume)

    @pytest.mark.parametrize("method", sorted(FACTORIES))
    @pytest.mark.parametrize("backup", [None, {}, {"id": "../x"}, "x"])
    def test_a_backup_that_is_none(self, dispatcher: Dispatcher, method: str, backup: Any) -> None:
        more = {
            "continue_backup": {"backup_device": {"volume": {"id": BACKUP}}},
            "restore_backup": {"volume_id": BACKUP},
            "import_record": {"backup_service": "s", "backup_url": "u", "backup_hosts": []},
            "reset_status": {"status": "error"},
        }
        with pytest.raises(BadArguments):
            made(dispatcher, method, backup=backup, **more.get(method, {}))
