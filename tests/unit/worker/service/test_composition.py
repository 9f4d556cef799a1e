# SPDX-License-Identifier: Apache-2.0
"""The parts of both services: built in order, complete, and never replaced."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from flows.errors import ProcessStopping
from tests.unit.db import template
from worker import conf as config
from worker.adapters.record_cache import _Observed
from worker.conf import backends, state_path
from worker.execution.concurrency import BlockingClient
from worker.rpc.request_context import RequestContext
from worker.service import backup, volume
from worker.service.fence import HostFence
from worker.service.flow_contexts.volume import flow_options
from worker.service.parts import Parts
from worker.service.start_stop import Service

CONFIG = """\
[DEFAULT]
host = h1
state_path = {folder}/state
enabled_backends = local
transport_url = kombu+memory://
backup_workers = 2
backup_max_operations = 3
[database]
connection = sqlite:///{folder}/holdfast.sqlite
[journal]
connection = sqlite:///{folder}/journal.sqlite
[coordination]
backend_url = file://{folder}/state
[local]
volume_driver = drivers.volume.local.LocalDriver
local_path = {folder}/volumes
operation_timeout = create_volume:60,no_such_operation:60
report_discard_supported = true
disk_geometry = 512e
"""


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[cfg.ConfigOpts]:
    place = tmp_path / "holdfast.conf"
    place.write_text(CONFIG.format(folder=tmp_path))
    loaded = config.load([f"--config-file={place}"], prog="holdfast")
    state_path.prepare(loaded)
    yield loaded
    cfg.CONF.reset()


@pytest.fixture
def synced(conf: cfg.ConfigOpts, tmp_path: Path) -> cfg.ConfigOpts:
    template.copy_to(tmp_path / "holdfast.sqlite")
    return conf


Start = Callable[[Service], Parts]


@pytest.fixture
def start(synced: cfg.ConfigOpts) -> Iterator[Start]:
    """Start a service, and stop it in the end."""
    started: list[Service] = []

    def begin(service: Service) -> Parts:
        service.start()
        started.append(service)
        return service.parts

    yield begin
    for service in started:
        service.stop(5)


class TestVolumeService:
    def test_every_part_belongs_to_the_registered_service(
        self, conf: cfg.ConfigOpts, start: Start
    ) -> None:
        parts = start(volume.service(conf, "local"))

        (row,) = parts.base.records.services.list(host="h1@local")
        assert (parts.base.row.id, parts.base.row.uuid) == (row.id, row.uuid)
        assert isinstance(parts.backend, volume.VolumeBackend)
        assert parts.backend.service_uuid == row.uuid
        assert parts.backend.initialized
        assert parts.base.identity.slot == "h1@local/0"

    def test_no_part_is_replaced(self, conf: cfg.ConfigOpts, start: Start) -> None:
        parts = start(volume.service(conf, "local"))

        with pytest.raises(dataclasses.FrozenInstanceError):
            parts.intake = parts.intake  # type: ignore[misc]
        with pytest.raises(dataclasses.FrozenInstanceError):
            parts.base.journal = parts.base.journal  # type: ignore[misc]

    def test_the_journal_keeps_as_many_failures_as_the_option_says_now(
        self, conf: cfg.ConfigOpts, start: Start
    ) -> None:
        most = start(volume.service(conf, "local")).base.journal.failures.most
        conf.set_override("keep_failed_mib", 3, group="journal")

        assert most is not None
        assert most() == 3 * 2**20

    def test_a_timeout_of_an_unknown_operation_is_logged(
        self, conf: cfg.ConfigOpts, start: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        start(volume.service(conf, "local"))

        assert "there is no operation no_such_operation" in caplog.text
        assert "no operation create_volume" not in caplog.text

    def test_functions_for_the_scheduler_come_from_the_section_or_from_the_service(
        self, conf: cfg.ConfigOpts, start: Start
    ) -> None:
        for name, group in (("goodness_function", None), ("filter_function", "local")):
            conf.set_override(name, "1 == 1", group=group)
        conf.set_override("filter_function", "2 == 2")
        parts = start(volume.service(conf, "local"))
        configuration = backends.BackendConfiguration(conf, "local")
        found = volume._capabilities(parts.base, parts.backend, configuration)  # type: ignore[arg-type]

        assert found._functions == {"filter_function": "1 == 1", "goodness_function": "1 == 1"}

    def test_a_new_service_is_disabled_where_the_operator_wants_that(
        self, conf: cfg.ConfigOpts, start: Start
    ) -> None:
        conf.set_override("enable_new_services", False)
        parts = start(volume.service(conf, "local"))

        (row,) = parts.base.records.services.list(host="h1@local")
        assert row.disabled

    def test_processes_of_a_service_have_one_row_and_slots_of_their_own(
        self, conf: cfg.ConfigOpts, start: Start
    ) -> None:
        first = start(volume.service(conf, "local"))
        second = start(volume.service(conf, "local", number=1))

        assert (first.base.identity.first, second.base.identity.first) == (True, False)
        assert first.base.row.id == second.base.row.id
        assert second.base.identity.slot == "h1@local/1"
        assert second.base.identity.slots == ["h1@local/0"]  # one process is configured


class TestBackupService:
    def test_each_process_has_its_part_of_the_data_transfers(
        self, conf: cfg.ConfigOpts, start: Start
    ) -> None:
        parts = start(backup.service(conf))

        assert parts.base.identity.host == "h1"
        assert parts.operations._transfers.threads == 2  # half of three, rounded up


RECORDS = {
    *("volumes", "snapshots", "groups", "attachments", "backups", "quotas", "workers"),
    *("messages", "initiators", "types", "services", "host", "image_cache"),
}
"""Fields of contexts that read and write the database."""

VALUES = {
    *("request", "resumed", "stopping", "progress", "waiting", "key", "claim", "options"),
    *("progress_every", "copy_reports", "abandoned", "deferrals", "locks"),
    "repeated",
}
"""Fields that are no clients; ``locks`` leave the limiter by themselves."""


class TestForeignSystems:
    """No thread has a place of the limiter while it waits for a foreign system."""

    @pytest.mark.parametrize("kind", ["volume", "backup"])
    def test_every_client_in_a_context_leaves_the_limiter(
        self, conf: cfg.ConfigOpts, start: Start, kind: str
    ) -> None:
        conf.set_override("driver", ["messagingv2"], group="oslo_messaging_notifications")
        parts = start(volume.service(conf, "local") if kind == "volume" else backup.service(conf))
        ctx: Any = parts.operations._executor._contexts(RequestContext.admin(), False)
        clients = {
            field.name: getattr(ctx, field.name)
            for field in dataclasses.fields(ctx)
            if field.name not in RECORDS | VALUES | {"backend"}
        }
        clients["driver"] = ctx.driver
        if kind == "volume":
            clients |= {"any driver": ctx.backend.any_driver(), "glance": ctx.images.service}

        clients = {
            name: one._target if isinstance(one, _Observed) else one
            for name, one in clients.items()
        }

        assert [name for name, one in clients.items() if not isinstance(one, BlockingClient)] == []
        assert {"notifier", "attacher", "volume_service"} <= clients.keys()


class TestStart:
    def test_a_database_without_tables_ends_the_start(self, conf: cfg.ConfigOpts) -> None:
        with pytest.raises(SystemExit, match="run: holdfast db sync$"):
            volume.service(conf, "local").start()

    def test_a_service_excludes_others_of_its_database_however_that_is_written(
        self, start: Start, synced: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held: list[str] = []
        monkeypatch.setattr(HostFence, "hold", lambda _self, name, *_args: held.append(name))

        start(volume.service(synced, "local"))

        path = os.path.realpath(synced.database.connection.removeprefix("sqlite:///"))
        assert len(held) == 2
        assert held[1] == f"cinder-volume h1@local of database {path}"

    def test_a_stop_ends_a_start_that_waits_for_its_slot(
        self, conf: cfg.ConfigOpts, start: Start
    ) -> None:
        start(volume.service(conf, "local"))
        second = volume.service(conf, "local")
        second.give_up_starting()

        with pytest.raises(ProcessStopping):
            second.start()
        second.stop(0)

    def test_a_service_that_was_never_started_can_be_stopped(
        self, synced: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        volume.service(synced, "local").stop(0)

        assert "stopped" not in caplog.text


def test_options_of_the_backend_reach_the_operations(conf: cfg.ConfigOpts) -> None:
    _, configuration = backends.configure(conf, "local")

    options = flow_options(conf, configuration)

    assert (options.report_discard_supported, options.disk_geometry) == (True, "512e")
    assert options.verify_signatures is True
    conf.set_override("verify_glance_signatures", "disabled")
    conf.set_override("image_conversion_disable", True)
    conf.set_override("allow_compression_on_image_upload", True)
    changed = flow_options(conf, configuration)
    assert (changed.verify_signatures, changed.convert_images) == (False, False)
    assert (options.unpack_images, changed.unpack_images) == (False, True)
