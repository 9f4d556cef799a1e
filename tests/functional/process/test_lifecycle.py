# SPDX-License-Identifier: Apache-2.0
"""The life of the service: start, uninitialized backends, kill, redelivery, stop."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from tests.functional.cloud import HOST, Cloud, envelope, heard
from tests.functional.service import Service
from tests.servers import until
from worker.rpc import objects, transport


@pytest.fixture
def make_cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Callable[..., Cloud]]:
    made: list[Cloud] = []

    def make(**sections: Any) -> Cloud:
        database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
        made.append(Cloud(volume_service, rabbit_url, database, tmp_path, **sections))
        return made[-1]

    yield make
    for cloud in made:
        cloud.close()


class TestUninitialized:
    """Source: seeds, check_for_setup_error; spec/volume-rpc §4."""

    @pytest.mark.parametrize("method", ["do_setup", "check_for_setup_error"])
    def test_it_answers_every_operation_and_comes_up_later(
        self, make_cloud: Callable[..., Cloud], method: str
    ) -> None:
        cloud = make_cloud()
        cloud.script.plan(**{method: {"raise": "VolumeBackendAPIException", "text": "no array"}})
        cloud.service.start(ready="takes operations for")
        created, deleted, extended = (
            cloud.volume(),
            cloud.existing("deleting"),
            cloud.existing("extending"),
        )
        source = cloud.existing()
        snapshot, old = cloud.snapshot(source), cloud.existing_snapshot(source, "deleting")
        reverted = cloud.existing("reverting")
        restored = cloud.existing_snapshot(reverted, "restoring")
        managed, uploaded = cloud.volume("managing", size=0), cloud.existing("uploading")
        reimaged, grouped = cloud.existing("downloading"), cloud.group("creating")
        doomed = cloud.group("deleting")
        member = cloud.existing("deleting", group_id=doomed.id)
        adopted = cloud.snapshot(source)
        image = cloud.image(None)
        ref, before = {"source-name": "lun-1"}, {"previous_status": "available"}
        cloud.cast("manage_existing", volume=managed, ref=ref)
        cloud.cast("manage_existing_snapshot", snapshot=adopted, ref=ref)
        cloud.cast("copy_volume_to_image", volume_id=uploaded.id, image_meta=image)
        cloud.cast("reimage", "3.20", volume=reimaged, image_meta=cloud.image())
        cloud.cast("create_group", group=grouped)
        cloud.cast("delete_group", group=doomed)
        cloud.cast("create_volume", volume=created)
        cloud.cast("delete_volume", volume=deleted)
        cloud.cast("extend_volume", volume=extended, new_size=2, reservations=[])
        cloud.cast("create_snapshot", snapshot=snapshot)
        cloud.cast("delete_snapshot", snapshot=old)
        cloud.cast("revert_to_snapshot", "3.15", volume=reverted, snapshot=restored)
        moved = cloud.existing("maintenance", **before, migration_status="starting")
        retyped = cloud.existing("retyping", **before)
        to = {"host": "h1@b2#pool", "cluster_name": None, "capabilities": {}}
        cloud.cast("migrate_volume", "3.5", volume=moved, host=to)
        cloud.cast("retype", "3.5", volume=retyped, new_type_id=retyped.volume_type_id, host=to)
        cloud.wait_status(created, "error")
        cloud.wait_status(deleted, "error_deleting")
        moved = cloud.wait_status(moved, "available")
        assert moved.migration_status == "error"
        cloud.wait_status(retyped, "available")
        cloud.wait_status(extended, "error_extending")
        cloud.wait_status(snapshot, "error")
        cloud.wait_status(old, "error_deleting")
        cloud.wait_status(reverted, "error")
        cloud.wait_status(restored, "available")
        cloud.wait_status(managed, "error_managing")
        cloud.wait_status(adopted, "error")
        cloud.wait_status(uploaded, "available")
        cloud.wait_status(reimaged, "error")
        cloud.wait_status(grouped, "error")
        cloud.wait_status(doomed, "error")
        cloud.wait_status(member, "error")
        kind, text = cloud.failure("initialize_connection", volume=source, connector={})

        assert kind == "DriverNotInitialized"
        assert "no array" in text
        (row,) = cloud.records.services.list()
        assert row.report_count == 0  # no heartbeat: schedulers see it down
        assert set(cloud.script.methods()) <= {"do_setup", "check_for_setup_error"}

        cloud.script.plan()
        cloud.service.wait_for_log("backend b1 is up", 60)
        volume = cloud.volume()
        cloud.cast("create_volume", volume=volume)
        cloud.wait_status(volume, "available")
        until(lambda: cloud.records.services.list()[0].report_count > 0, 60, "a heartbeat")
        setups = cloud.script.methods()
        assert setups.count("do_setup") >= 2  # one for each instance

    def test_statistics_that_are_wrong_are_told_once(
        self, make_cloud: Callable[..., Cloud]
    ) -> None:
        cloud = make_cloud()
        stats = {"volume_backend_name": "b1", "driver_version": 7, "total_capacity_gb": -1}
        cloud.script.plan(get_volume_stats={"return": stats})
        cloud.service.start()
        cloud.call("get_capabilities", discover=True)

        log = cloud.service.text()
        assert log.count("driver_version is 7, not a string") == 1
        assert log.count("total_capacity_gb is -1") == 1
        assert log.count("vendor_name is missing") == 1


class TestKill:
    def test_what_was_accepted_is_finished_after_a_kill(
        self, make_cloud: Callable[..., Cloud], tmp_path: Path
    ) -> None:
        cloud = make_cloud()
        gate = tmp_path / "gate"
        cloud.script.plan(create_volume={"wait_for": str(gate)})
        cloud.service.start()
        volumes = [cloud.volume() for _ in range(20)]
        for volume in volumes:
            cloud.cast("create_volume", volume=volume)
        until(lambda: len(cloud.script.calls("create_volume")) >= 5, 60, "casts to be under way")
        cloud.service.kill()
        gate.touch()
        cloud.service.start()

        for volume in volumes:
            cloud.wait_status(volume, "available")
        cloud.wait_idle()
        assert cloud.script.objects() == {volume.name for volume in volumes}

    def test_an_interrupted_revert_goes_on(
        self, make_cloud: Callable[..., Cloud], tmp_path: Path
    ) -> None:
        cloud = make_cloud()
        gate = tmp_path / "gate"
        cloud.script.plan(
            create_volume={"raise": "VolumeBackendAPIException"},
            delete_volume={"wait_for": str(gate)},
        )
        cloud.service.start()
        volume = cloud.volume()
        cloud.cast("create_volume", volume=volume)
        until(lambda: cloud.script.calls("delete_volume"), 60, "the revert to begin")
        cloud.service.kill()
        gate.touch()
        cloud.service.start()
        cloud.wait_status(volume, "error")
        cloud.wait_idle()

        assert cloud.script.objects() == set()

    def test_a_flow_that_kills_again_and_again_is_reverted(
        self, make_cloud: Callable[..., Cloud], tmp_path: Path
    ) -> None:
        cloud = make_cloud(journal={"max_resumes": 1})
        cloud.script.plan(create_volume={"wait_for": str(tmp_path / "never")})
        cloud.service.start()
        volume = cloud.volume()
        cloud.cast("create_volume", volume=volume)
        for count in (1, 2):
            until(lambda: len(cloud.script.calls("create_volume")) >= count, 60, "a try")  # noqa: B023
            cloud.service.kill()
            cloud.service.start()
        cloud.wait_status(volume, "error")
        cloud.wait_idle()

        assert len(cloud.script.calls("create_volume")) == 2
        assert cloud.script.objects() == set()

    def test_a_child_that_is_killed_is_replaced_and_its_flows_go_on(
        self, make_cloud: Callable[..., Cloud], tmp_path: Path
    ) -> None:
        cloud = make_cloud(b1={"processes": 2})
        gate = tmp_path / "gate"
        cloud.script.plan(create_volume={"wait_for": str(gate)})
        cloud.service.start()
        volumes = [cloud.volume() for _ in range(8)]
        for volume in volumes:
            cloud.cast("create_volume", volume=volume)
        until(lambda: len(cloud.script.calls("create_volume")) == 8, 60, "all to be under way")
        import os

        os.kill(cloud.service.children()[0], signal.SIGKILL)
        gate.touch()

        for volume in volumes:
            cloud.wait_status(volume, "available")
        cloud.wait_idle()
        assert cloud.script.objects() == {volume.name for volume in volumes}


def test_the_same_message_runs_once(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud()
    cloud.service.start()
    volume = cloud.volume()
    body = envelope("create_volume", args={"volume": objects.volume(volume)})
    cloud.publish_raw(body)
    cloud.publish_raw(body)
    cloud.wait_status(volume, "available")
    cloud.publish_raw(body)
    cloud.service.wait_for_log("came twice", 60)
    marker = cloud.volume()
    cloud.cast("create_volume", volume=marker)
    cloud.wait_status(marker, "available")

    assert len([c for c in cloud.script.calls("create_volume") if c["id"] == volume.id]) == 1


def test_no_more_is_taken_than_may_wait(make_cloud: Callable[..., Cloud], tmp_path: Path) -> None:
    cloud = make_cloud(DEFAULT={"executor_thread_pool_size": 3, "waiting_operations_max": 2})
    gate = tmp_path / "gate"
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    cloud.service.start()
    volumes = [cloud.volume() for _ in range(12)]
    for volume in volumes:
        cloud.cast("create_volume", volume=volume)
    until(lambda: len(cloud.script.calls("create_volume")) == 3, 60, "the threads to be busy")
    until(lambda: len(cloud.entries()) >= 5, 60, "two to wait")
    taken = len(cloud.entries())
    gate.touch()
    for volume in volumes:
        cloud.wait_status(volume, "available")

    assert taken == 5


def test_stopping_drains_and_leaves_the_rest_with_the_broker(
    make_cloud: Callable[..., Cloud], tmp_path: Path
) -> None:
    cloud = make_cloud(DEFAULT={"executor_thread_pool_size": 2})
    gate = tmp_path / "gate"
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    cloud.service.start()
    volumes = [cloud.volume() for _ in range(6)]
    for volume in volumes:
        cloud.cast("create_volume", volume=volume)
    until(lambda: len(cloud.script.calls("create_volume")) == 2, 60, "two to be under way")
    assert cloud.service.process is not None
    cloud.service.process.send(signal.SIGTERM)
    cloud.service.wait_for_log("its operations have", 60)
    gate.touch()
    assert cloud.service.process.wait(20) == 0
    done = [cloud.status(volume) for volume in volumes].count("available")
    cloud.service.start()
    for volume in volumes:
        cloud.wait_status(volume, "available")

    assert done >= 2
    assert len(cloud.script.calls("create_volume")) == 6


@pytest.mark.parametrize("option", ["amqp_durable_queues", "rabbit_quorum_queue"])
def test_queues_that_outlive_the_broker_pass_through(
    make_cloud: Callable[..., Cloud], option: str
) -> None:
    group = "oslo_messaging_rabbit"
    transport.register_opts(cfg.CONF)
    cfg.CONF.set_override(option, True, group=group)
    try:
        cloud = make_cloud(**{group: {option: True}})
        cloud.service.start()
        volume = cloud.volume()
        cloud.cast("create_volume", volume=volume)
        cloud.wait_status(volume, "available")
    finally:
        cfg.CONF.clear_override(option, group=group)

    assert "NOT DURABLE" not in cloud.service.text()


def test_a_reload_reads_limits_and_drops_nothing(
    make_cloud: Callable[..., Cloud], tmp_path: Path
) -> None:
    cloud, gate = make_cloud(DEFAULT={"project_operations_max": "*:1"}), tmp_path / "gate"
    cloud.service.start()
    held, volume = cloud.volume(), cloud.volume()
    cloud.script.plan(create_volume={"wait_for": str(gate), "only": held.id})
    for one in (held, volume):
        cloud.cast("create_volume", volume=one)
    until(lambda: cloud.script.calls("create_volume"), 60, "the first creation")
    config = cloud.service.config
    config.write_text(config.read_text().replace("*:1", "*:2"))
    cloud.service.reload()
    cloud.service.wait_for_log("configuration read anew", 60)

    cloud.wait_status(volume, "available")
    assert cloud.records.volumes.get(held.id).status == "creating"
    gate.touch()
    cloud.wait_status(held, "available")


def test_the_schedulers_hear_of_us(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud()
    cloud.service.start()
    until(lambda: cloud.records.services.list()[0].report_count > 1, 60, "two heartbeats")
    (row,) = cloud.records.services.list()

    assert (row.host, row.binary, row.topic) == (HOST, "cinder-volume", "cinder-volume")
    assert (row.rpc_current_version, row.object_current_version) == ("3.20", "1.39")
    assert uuid.UUID(row.uuid)
    assert row.availability_zone == "nova"


def test_statistics_that_hang_are_named_and_stop_no_heartbeat(
    make_cloud: Callable[..., Cloud], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    cloud = make_cloud(DEFAULT={"backend_stats_polling_interval": 3})
    cloud.service.start()
    cloud.script.plan(get_volume_stats={"wait_for": str(gate)})
    fanout = cloud.client().prepare(topic="cinder-volume", server=None, fanout=True)
    fanout.cast({}, "publish_service_capabilities")
    cloud.service.wait_for_log("the statistics of backend b1 have not come for 3 s", 60)
    before = cloud.records.services.list()[0].report_count

    until(lambda: cloud.records.services.list()[0].report_count > before, 60, "a heartbeat")
    gate.touch()


def test_a_fanout_for_capabilities_is_answered_with_a_report(
    make_cloud: Callable[..., Cloud],
) -> None:
    cloud = make_cloud()
    cloud.volume("available", size=7)
    with heard(cloud) as reports:
        cloud.service.start()
        until(reports, 60, "the first report")
        before = len(reports())
        fanout = cloud.client().prepare(topic="cinder-volume", server=None, fanout=True)
        fanout.cast({}, "publish_service_capabilities")
        until(lambda: len(reports()) > before, 60, "the answer to the fanout")
        message = reports()[-1]

    args = message["args"]
    assert (message["method"], message["version"]) == ("update_service_capabilities", "3.3")
    assert (args["service_name"], args["host"]) == ("volume", HOST)
    found = args["capabilities"]
    assert (found["total_capacity_gb"], found["free_capacity_gb"]) == (100, 50)
    assert found["allocated_capacity_gb"] == 7
    assert found["cacheable"] is True  # the driver says iSCSI


class TestStart:
    @pytest.fixture
    def forked(self) -> bool:
        """Execute the program, as systemd does."""
        return False

    def start(self, service: Service) -> tuple[int, str]:
        status = service.launch().wait(60)
        return status, service.text()

    @pytest.mark.parametrize(
        ("sections", "text"),
        [
            ({"DEFAULT": {"report_interval": "soon"}}, "report_interval"),
            ({"DEFAULT": {"enabled_backends": ""}}, "enabled_backends"),
            ({"DEFAULT": {"enabled_backends": "b1,b2"}}, "b2 has no section"),
            ({"b1": {"volume_driver": "nonsense"}}, "nonsense"),
            ({"b1": {"processes": "many"}}, "processes"),
        ],
    )
    def test_a_wrong_configuration_ends_it_at_once_with_one_line(
        self, make_cloud: Callable[..., Cloud], sections: dict[str, Any], text: str
    ) -> None:
        cloud = make_cloud()
        # Nothing is contacted before: no line complains of this bus and this database.
        away = {"bus": "rabbit://guest:guest@127.0.0.1:1/", "database": "sqlite:////no/such/place"}
        cloud.service.write(**away, backends=cloud.backends, sections=sections)
        status, log = self.start(cloud.service)

        assert status == 78
        assert text in log
        assert len(log.strip().splitlines()) == 1

    @pytest.mark.parametrize(
        ("sections", "text"),
        [
            ({"database": {"connection": "sqlite:///{0}/empty"}}, "holdfast db sync"),
            ({"journal": {"connection": "sqlite:///{0}/no/such/place"}}, "[journal] connection"),
        ],
    )
    def test_what_cannot_be_used_ends_it_with_a_clear_line(
        self,
        make_cloud: Callable[..., Cloud],
        sections: dict[str, Any],
        text: str,
        tmp_path: Path,
    ) -> None:
        placed = {
            section: {name: value.format(tmp_path) for name, value in options.items()}
            for section, options in sections.items()
        }
        cloud = make_cloud()
        cloud.service.write(
            bus=cloud.bus, database="sqlite://", backends=cloud.backends, sections=placed
        )
        status, log = self.start(cloud.service)

        assert status == 69
        assert text in log.splitlines()[-1]
        assert "Traceback" not in log

    def test_queues_that_are_not_durable_are_warned_of(
        self, make_cloud: Callable[..., Cloud]
    ) -> None:
        cloud = make_cloud()
        cloud.service.start()

        assert "rabbit_quorum_queue" in cloud.service.text()
