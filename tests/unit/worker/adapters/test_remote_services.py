# SPDX-License-Identifier: Apache-2.0
"""Casts to and calls of other services, and their failures, as flows see them."""

from __future__ import annotations

import datetime
import threading
import types
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import oslo_messaging
import pytest
from oslo_utils import timeutils

from drivers.interface.records import Record
from drivers.interface.volume import ZEROED
from flows.errors import InvalidVolume, ProcessStopping, ServiceRefused, ServiceUnreachable
from worker.adapters import remote_services
from worker.adapters.remote_services import (
    TRIES,
    RemoteBackupPeers,
    RemoteBackupServices,
    RemoteScheduler,
    RemoteVolumeServices,
)
from worker.execution.concurrency import Limiter, blocking
from worker.rpc.clients.sender import BusUnavailable

VOLUME = Record("volume", {"id": "v1", "host": "h1@b1#p", "cluster_name": None})
SNAPSHOT = Record("snapshot", {"id": "s1", "volume": VOLUME})
BACKUP = Record("backup", {"id": "b1", "host": "h2"})
CONNECTOR = {"host": "here"}
INFO = {"driver_volume_type": "local", "data": {}}
REQUEST = object()

SILENT = [
    pytest.param(oslo_messaging.MessagingTimeout("no reply"), id="no reply"),
    pytest.param(
        oslo_messaging.RemoteError("CinderException", "it was not begun: the service stops"),
        id="it stops",
    ),
]


class Client:
    """Records its messages, and replies with the next of the planned answers."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self.sent_by: list[str] = []
        self.answers: list[Any] = []
        self.after_each: Callable[[], object] = lambda: None

    def cast(self, request: Any, host: str, method: str, **args: Any) -> None:
        self.sent_by.append("cast")
        self._send(request, host, method, args)

    def call(self, request: Any, host: str, method: str, **args: Any) -> Any:
        self.sent_by.append("call")
        return self._send(request, host, method, args)

    def _send(self, request: Any, host: str, method: str, args: dict[str, Any]) -> Any:
        assert request is REQUEST
        self.sent.append((host, method, args))
        self.after_each()
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    for name in ("VolumeClient", "BackupClient"):
        monkeypatch.setattr(remote_services, name, lambda *_: made)
    monkeypatch.setattr(remote_services, "SEND_PAUSE_MAX", 0.0)
    monkeypatch.setattr(remote_services, "PATIENCE", 0.0)
    return made


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def services(client: Client, stopping: threading.Event) -> RemoteVolumeServices:
    return RemoteVolumeServices(object(), 5.0, stopping)


class TestMessages:
    @pytest.mark.parametrize(
        ("source", "call", "method", "args"),
        [
            (VOLUME, "connect", "initialize_connection", {"volume": VOLUME}),
            (SNAPSHOT, "connect", "initialize_connection_snapshot", {"snapshot_id": "s1"}),
            (VOLUME, "disconnect", "terminate_connection", {"volume_id": "v1", "force": True}),
            (
                SNAPSHOT,
                "disconnect",
                "terminate_connection_snapshot",
                {"snapshot_id": "s1", "force": True},
            ),
        ],
    )
    def test_connections(self, services, client, source, call, method, args):
        client.answers = [INFO]
        answer = getattr(services, call)(REQUEST, source, CONNECTOR)

        assert client.sent == [("h1@b1#p", method, {**args, "connector": CONNECTOR})]
        assert answer == (INFO if call == "connect" else None)

    @pytest.mark.parametrize(
        ("source", "method", "args"),
        [
            (VOLUME, "remove_export", {"volume_id": "v1"}),
            (SNAPSHOT, "remove_export_snapshot", {"snapshot_id": "s1"}),
        ],
    )
    def test_exports(self, services, client, source, method, args):
        services.unexport(REQUEST, source)
        services.unexport(REQUEST, source, wait=False)

        assert client.sent == [("h1@b1#p", method, args)] * 2
        assert client.sent_by == ["call", "cast"]

    @pytest.mark.parametrize("source", [VOLUME, SNAPSHOT], ids=lambda source: source.kind)
    def test_deletion(self, services, client, source):
        services.delete(REQUEST, source)

        assert client.sent == [("h1@b1#p", f"delete_{source.kind}", {source.kind: source})]

    def test_creation_is_not_rescheduled(self, services, client):
        services.create(REQUEST, VOLUME)
        [(_host, method, args)] = client.sent

        assert (method, args["volume"], args["allow_reschedule"]) == (
            "create_volume",
            VOLUME,
            False,
        )

    def test_a_cluster_is_addressed_before_its_hosts(self, services, client):
        clustered = Record("volume", {**VOLUME, "cluster_name": "c1@b1"})
        services.unexport(REQUEST, clustered)

        assert client.sent[0][0] == "c1@b1"

    def test_the_end_of_a_migration_is_told_to_the_copys_service(self, services, client):
        copy = Record("volume", {"id": "v2", "host": "h9@b9#p", "cluster_name": None})
        services.update_migrated(REQUEST, VOLUME, copy, "in-use")

        named = {"volume": VOLUME, "new_volume": copy, "volume_status": "in-use"}
        assert client.sent == [("h9@b9#p", "update_migrated_volume", named)]

    @pytest.mark.parametrize(("mode", "sent"), [("ro", "ro"), (None, "rw")])
    def test_an_attachment(self, services, client, mode, sent):
        row = {"instance_uuid": "i1", "attached_host": None, "mountpoint": "/dev/vdb"}
        services.attach(REQUEST, VOLUME, {**row, "attach_mode": mode})
        [(_host, method, args)] = client.sent

        assert (method, args["mode"], args["instance_uuid"]) == ("attach_volume", sent, "i1")

    def test_a_backup_device(self, services, client):
        services.get_backup_device(REQUEST, BACKUP, VOLUME)
        services.secure_file_operations_enabled(REQUEST, VOLUME)

        assert [method for _host, method, _args in client.sent] == [
            "get_backup_device",
            "secure_file_operations_enabled",
        ]
        assert client.sent[0][2]["async_call"] is True


class TestFailures:
    @pytest.mark.parametrize("error", SILENT)
    def test_a_call_is_repeated(self, services, client, error):
        client.answers = [*[error] * (TRIES - 1), INFO]

        assert services.connect(REQUEST, VOLUME, CONNECTOR) == INFO
        assert len(client.sent) == TRIES

    @pytest.mark.parametrize("error", SILENT)
    def test_a_call_fails_after_its_tries(self, services, client, error):
        client.answers = [error] * TRIES

        with pytest.raises(ServiceUnreachable):
            services.unexport(REQUEST, VOLUME)
        assert len(client.sent) == TRIES

    def test_one_without_a_reply_is_repeated_for_minutes(self, services, client, monkeypatch):
        """Several hosts that were to reply may be lost one after the other."""
        now = 0.0

        def pass_time() -> None:
            nonlocal now
            now += 20.0

        monkeypatch.setattr(remote_services, "PATIENCE", 300.0)
        clock = types.SimpleNamespace(monotonic=lambda: now)
        monkeypatch.setattr(remote_services, "time", clock)
        client.answers = [oslo_messaging.MessagingTimeout("no reply")] * 100
        client.after_each = pass_time

        with pytest.raises(ServiceUnreachable):
            services.unexport(REQUEST, VOLUME)
        assert len(client.sent) == 16

    @pytest.mark.parametrize("error", SILENT)
    def test_a_stop_ends_the_tries(self, services, client, stopping, error):
        client.answers, client.after_each = [error] * TRIES, stopping.set

        with pytest.raises(ProcessStopping):
            services.unexport(REQUEST, VOLUME)
        assert len(client.sent) == 1

    @pytest.mark.parametrize("error", SILENT)
    def test_a_cast_is_not_repeated(self, services, client, error):
        client.answers = [error]

        with pytest.raises(ServiceUnreachable):
            services.delete(REQUEST, VOLUME)
        assert len(client.sent) == 1

    @pytest.mark.parametrize("send", ["call", "cast"])
    def test_a_message_waits_for_the_bus(self, services, client, caplog, send):
        away = [BusUnavailable("no broker")] * (TRIES + 1)
        client.answers = [*away, None]
        (services.unexport if send == "call" else services.delete)(REQUEST, VOLUME)

        assert len(client.sent) == len(away) + 1
        assert [r.message for r in caplog.records if "waits for the message bus" in r.message] == [
            "a message waits for the message bus: no broker"
        ]

    def test_a_stop_ends_the_wait_for_the_bus(self, services, client, stopping):
        client.answers = [BusUnavailable("no broker")] * TRIES
        client.after_each = stopping.set

        with pytest.raises(ProcessStopping):
            services.delete(REQUEST, VOLUME)
        assert len(client.sent) == 1

    def test_an_error_of_the_other_service_is_a_refusal(self, services, client):
        client.answers = [oslo_messaging.RemoteError("VolumeIsBusy", "in use")]

        with pytest.raises(ServiceRefused, match="VolumeIsBusy: in use"):
            services.unexport(REQUEST, VOLUME)
        assert len(client.sent) == 1

    def test_a_receiver_without_an_address(self, services, client):
        client.answers = [InvalidVolume("no host")] * TRIES

        with pytest.raises(ServiceUnreachable, match="no host"):
            services.unexport(REQUEST, VOLUME)

    def test_a_volume_without_a_host_is_sent_nowhere(self, services, client):
        nowhere = Record("volume", {**VOLUME, "host": None})

        with pytest.raises(ServiceUnreachable, match="v1 has no host"):
            services.unexport(REQUEST, nowhere)
        assert client.sent == []

    @pytest.mark.parametrize("answer", [None, 7, [INFO]])
    def test_connection_info_that_is_no_mapping(self, services, client, answer):
        client.answers = [answer]

        with pytest.raises(ServiceRefused, match="returned no mapping"):
            services.connect(REQUEST, VOLUME, CONNECTOR)

    def test_threads_that_wait_for_a_reply_do_not_count(self, client, stopping):
        limiter = Limiter(1, 0)
        services = blocking(RemoteVolumeServices(object(), 5.0, stopping), limiter)
        passed = threading.Event()

        def another() -> None:
            with limiter.running():
                passed.set()

        def meanwhile() -> None:
            threading.Thread(target=another).start()
            assert passed.wait(30)

        client.after_each = meanwhile
        with limiter.running():
            services.unexport(REQUEST, VOLUME)


class TestChangedExtents:
    def test_pairs_of_whole_numbers(self, services, client):
        client.answers = [[[0, 4096], ["8192", "12288"]]]

        assert services.changed_extents(REQUEST, SNAPSHOT, "s0") == [(0, 4096), (8192, 12288)]
        assert client.sent[0][2]["resource"] == {"kind": "snapshot", "id": "s1"}

    @pytest.mark.parametrize(
        "answers",
        [
            [None],
            [[[0]]],
            [["ab"]],
            [7],
            [oslo_messaging.RemoteError("UnsupportedVersion", "3.20")],
            [oslo_messaging.MessagingTimeout("no reply")] * TRIES,
        ],
        ids=str,
    )
    def test_whatever_else_comes_means_that_all_is_read(self, services, client, answers):
        client.answers = list(answers)

        assert services.changed_extents(REQUEST, SNAPSHOT, "s0") is None


class TestBackupServices:
    NOW = datetime.datetime(2020, 1, 1, 12)

    def services(self, *rows: dict[str, Any]) -> RemoteBackupServices:
        def listed(binary: str) -> list[Record]:
            assert binary == "cinder-backup"
            full = [
                {"disabled": False, "created_at": None, "updated_at": self.NOW, **r} for r in rows
            ]
            return [Record("service", row) for row in full]

        records = SimpleNamespace(services=SimpleNamespace(list=listed))
        conf = SimpleNamespace(service_down_time=60)
        return RemoteBackupServices(object(), records, conf, threading.Event())  # type: ignore[arg-type]

    @pytest.fixture(autouse=True)
    def _clock(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(timeutils, "utcnow", lambda *_: self.NOW)

    @pytest.mark.parametrize(
        ("zone", "preferred", "chosen"),
        [
            ("z2", "h1", "h1"),
            ("z2", None, "h2"),
            ("z2", "gone", "h2"),
            ("z9", None, "h1"),
            (None, None, "h1"),
        ],
    )
    def test_the_preferred_host_then_the_zone_then_any(self, zone, preferred, chosen):
        services = self.services(
            {"host": "h1", "availability_zone": "z1"}, {"host": "h2", "availability_zone": "z2"}
        )

        assert services.alive(zone, preferred) == chosen

    @pytest.mark.parametrize(
        "row",
        [
            {"disabled": True},
            {"updated_at": NOW - datetime.timedelta(seconds=61)},
            {"updated_at": None},
        ],
        ids=["disabled", "down", "never up"],
    )
    def test_one_that_is_not_up_is_not_chosen(self, row):
        services = self.services({"host": "h1", "availability_zone": "z1", **row})

        assert services.alive("z1", "h1") is None

    def test_casts_go_to_the_backups_host(self, client):
        services, peers = self.services(), RemoteBackupPeers(object(), threading.Event())
        services.continue_backup(REQUEST, BACKUP, {"a": 1})
        services.restore_backup(REQUEST, BACKUP, "v1")
        peers.import_record(REQUEST, "h3", BACKUP, "posix", "e30=", ["h4"])

        assert [(host, method) for host, method, _args in client.sent] == [
            ("h2", "continue_backup"),
            ("h2", "restore_backup"),
            ("h3", "import_record"),
        ]
        assert client.sent[1][2]["volume_is_new"] is True

    def test_a_cast_waits_for_the_bus(self, client):
        client.answers = [BusUnavailable("no broker"), None]
        self.services().restore_backup(REQUEST, BACKUP, "v1")

        assert len(client.sent) == 2


class TestScheduler:
    def test_a_volume_is_handed_back_when_the_bus_is_there(self):
        sent, away = [], [BusUnavailable("no broker")]

        def create_volume(*args: object) -> None:
            sent.append(args)
            if away:
                raise away.pop()

        client: Any = SimpleNamespace(create_volume=create_volume)
        RemoteScheduler(client, threading.Event()).create_volume(REQUEST, VOLUME, {}, {"retry": {}})

        assert sent == [(REQUEST, VOLUME, {}, {"retry": {}})] * 2


class TestZeros:
    """A restore leaves zeros out only where a service says that new volumes have none but these."""

    @pytest.mark.parametrize(
        ("answer", "zero"),
        [
            ({ZEROED: True}, True),
            ({ZEROED: False}, False),
            ({ZEROED: "True"}, False),
            ({}, False),
            (None, False),
            ("rubbish", False),
        ],
    )
    def test_only_a_clear_answer_counts(self, services, client, answer, zero):
        client.answers = [answer]

        assert services.new_volumes_are_zero(REQUEST, VOLUME) is zero
        assert client.sent == [("h1@b1#p", "get_capabilities", {"discover": False})]

    @pytest.mark.parametrize(
        "error",
        [
            oslo_messaging.RemoteError("DriverNotInitialized", "down"),
            oslo_messaging.MessagingTimeout("no reply"),
        ],
    )
    def test_a_service_that_does_not_answer_is_no_failure(self, services, client, error):
        client.answers = [error] * TRIES

        assert services.new_volumes_are_zero(REQUEST, VOLUME) is False
