# SPDX-License-Identifier: Apache-2.0
"""A backend that is frozen, thawed, failed over and comes back, over the bus.

Source: spec/volume-rpc, *Replication and maintenance*; spec/service §3 and §4.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import oslo_messaging
import pytest

from drivers.interface.records import Record
from tests.conftest import DATABASES
from tests.functional.cloud import HOST, REQUEST, Cloud
from tests.functional.operations.conftest import running
from tests.functional.service import Service
from tests.servers import Broker, Servers, until

FRESH = {
    "disabled": False,
    "disabled_reason": None,
    "frozen": False,
    "replication_status": "enabled",
    "active_backend_id": None,
}


@pytest.fixture(scope="module", params=DATABASES)
def own_cloud(
    request: pytest.FixtureRequest,
    broker: Broker,
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cloud]:
    """A service whose volumes may all be lost."""
    directory = tmp_path_factory.mktemp(f"whole-{request.param}")
    with running(request.param, broker, servers, directory) as cloud:
        yield cloud


@pytest.fixture
def cloud(own_cloud: Cloud) -> Iterator[Cloud]:
    cloud, position = own_cloud, own_cloud.service.position()
    cloud.script.plan()
    for volume in cloud.records.volumes.on_host(HOST):
        cloud.records.volumes.destroy(volume.id)
    cloud.records.services.update(row(cloud).id, **FRESH)
    yield cloud
    sys.stdout.write(cloud.service.text(position))


def row(cloud: Cloud) -> Record:
    (found,) = cloud.records.services.list(binary="cinder-volume", host=HOST)
    return found


def shown(cloud: Cloud) -> tuple[Any, ...]:
    found = row(cloud)
    return (
        found.disabled,
        found.disabled_reason,
        found.replication_status,
        found.active_backend_id,
    )


def fail_over(cloud: Cloud, target: str | None = "second", method: str = "failover") -> None:
    cloud.records.services.update(row(cloud).id, replication_status="failing-over")
    args = {} if target is None else {"secondary_backend_id": target}
    cloud.cast(method, "3.8" if method == "failover" else "3.0", **args)
    until(lambda: row(cloud).replication_status != "failing-over", 60, "the failover to end")
    cloud.wait_idle()


class TestFreeze:
    def test_a_frozen_backend_is_disabled_and_alive(self, cloud: Cloud) -> None:
        long_ago = datetime.datetime(2020, 1, 1)
        cloud.records.services.update(row(cloud).id, updated_at=long_ago, modified_at=long_ago)

        assert cloud.call("freeze_host") is True
        assert shown(cloud)[:2] == (True, "frozen")
        assert row(cloud).modified_at > long_ago
        assert "freeze_backend" in cloud.script.methods()

    def test_a_thawed_one_is_enabled(self, cloud: Cloud) -> None:
        cloud.call("freeze_host")

        assert cloud.call("thaw_host") is True
        assert shown(cloud)[:2] == (False, "")

    def test_a_driver_that_fails_to_freeze(self, cloud: Cloud) -> None:
        cloud.script.plan(freeze_backend={"raise": "VolumeDriverException"})

        assert cloud.call("freeze_host") is True
        assert shown(cloud)[:2] == (True, "frozen")

    def test_a_driver_that_fails_to_thaw(self, cloud: Cloud) -> None:
        cloud.call("freeze_host")
        cloud.script.plan(thaw_backend={"raise": "VolumeDriverException"})

        assert cloud.call("thaw_host") is False
        assert shown(cloud)[:2] == (True, "frozen")

    @pytest.mark.parametrize("method", ["freeze", "thaw"])
    def test_any_other_error_is_told(self, cloud: Cloud, method: str) -> None:
        cloud.script.plan(**{f"{method}_backend": {"raise": "OSError", "text": "lost"}})
        failed, text = cloud.failure(f"{method}_host")

        assert (failed, "lost" in text) == ("VolumeBackendAPIException", True)
        assert shown(cloud)[0] is False


class TestFailover:
    @pytest.mark.parametrize("method", ["failover", "failover_host"])
    def test_the_service_is_failed_over(self, cloud: Cloud, method: str) -> None:
        fail_over(cloud, method=method)

        assert shown(cloud) == (True, "failed-over", "failed-over", "second")

    def test_the_driver_chooses_a_target(self, cloud: Cloud) -> None:
        cloud.script.plan(failover_host={"return": ["third", [], []]})
        fail_over(cloud, None)

        assert shown(cloud)[3] == "third"
        assert cloud.script.calls("failover_host")[-1]["id"] is None

    def test_what_is_replicated_moves_and_the_rest_is_lost(self, cloud: Cloud) -> None:
        moved = cloud.existing("in-use", replication_status="enabled")
        broken = cloud.existing(replication_status="enabled")
        lost = cloud.existing(replication_status="disabled")
        snapshots = [cloud.existing_snapshot(v) for v in (moved, broken, lost)]
        updates = [
            {"volume_id": moved.id, "updates": {"provider_id": "there"}},
            {"volume_id": broken.id, "updates": {"status": "error"}},
        ]
        cloud.script.plan(failover_host={"return": ["second", updates, []]})
        fail_over(cloud)

        assert set(cloud.script.calls("failover_host")[-1]["volumes"]) == {moved.id, broken.id}
        found = [cloud.records.volumes.get(v.id) for v in (moved, broken, lost)]
        assert [(v.status, v.previous_status, v.replication_status) for v in found] == [
            ("in-use", None, "failed-over"),
            ("error", "available", "failover-error"),
            ("error", "available", "not-capable"),
        ]
        assert found[0].provider_id == "there"
        assert [cloud.status(s) for s in snapshots] == ["available", "error", "error"]

    def test_groups_whose_type_asks_for_it(self, cloud: Cloud) -> None:
        group = cloud.group("available", replication_status="enabled")
        other = cloud.group("available")
        type_id = cloud.group_type(consistent=False, group_replication_enabled="<is> True")
        cloud.records.groups.update(group.id, group_type_id=type_id)
        updates = [{"group_id": group.id, "updates": {"status": "error"}}]
        cloud.script.plan(failover_host={"return": ["second", [], updates]})
        fail_over(cloud)
        found = cloud.records.groups.get(group.id)

        assert cloud.script.calls("failover_host")[-1]["groups"] == [group.id]
        assert (found.status, found.replication_status) == ("error", "failover-error")
        assert cloud.records.groups.get(other.id).replication_status is None
        cloud.records.groups.destroy(group.id)

    @pytest.mark.parametrize("frozen", [False, True])
    def test_back_again(self, cloud: Cloud, frozen: bool) -> None:
        kept = cloud.existing(replication_status="disabled")
        back = cloud.existing(replication_status="failed-over")
        failed_over = {"active_backend_id": "second", "disabled": True, "frozen": frozen}
        cloud.records.services.update(row(cloud).id, **failed_over)
        fail_over(cloud, "default")

        assert shown(cloud) == (frozen, "frozen" if frozen else "", "enabled", "")
        assert cloud.status(kept) == "available"
        assert cloud.records.volumes.get(back.id).replication_status == "enabled"

    @pytest.mark.parametrize(("active", "status"), [(None, "enabled"), ("second", "failed-over")])
    def test_a_target_that_does_not_exist(
        self, cloud: Cloud, active: str | None, status: str
    ) -> None:
        volume = cloud.existing(replication_status="disabled")
        cloud.records.services.update(row(cloud).id, active_backend_id=active)
        cloud.script.plan(failover_host={"raise": "InvalidReplicationTarget"})
        fail_over(cloud, "nowhere")

        assert shown(cloud) == (False, None, status, active)
        assert cloud.status(volume) == "available"

    @pytest.mark.parametrize(
        "plan", [{"raise": "OSError"}, {"return": 7}, {"return": ["x", [7], []]}]
    )
    def test_a_failure(self, cloud: Cloud, plan: dict[str, Any]) -> None:
        lost = cloud.existing(replication_status="disabled")
        kept = cloud.existing(replication_status="enabled")
        cloud.script.plan(failover_host=plan)
        fail_over(cloud)

        assert shown(cloud)[0] is True
        assert shown(cloud)[2:] == ("failover-error", None)
        assert (cloud.status(lost), cloud.status(kept)) == ("error", "available")


@pytest.fixture
def lone(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Cloud]:
    """A service that may be killed."""
    made = Cloud(volume_service, rabbit_url, f"sqlite:///{tmp_path / 'cinder.sqlite'}", tmp_path)
    made.service.start()
    yield made
    made.close()


class TestRestart:
    @pytest.mark.parametrize("replicates", [False, True])
    def test_a_start_writes_the_replication_status(self, lone: Cloud, replicates: bool) -> None:
        assert row(lone).replication_status == "disabled"
        lone.service.stop()
        lone.script.plan(stats={"replication_enabled": replicates})
        lone.service.start()

        wanted = "enabled" if replicates else "disabled"
        assert row(lone).replication_status == wanted

    def test_what_a_service_is_in_outlives_a_restart(self, lone: Cloud) -> None:
        lone.call("freeze_host")
        lone.records.services.update(row(lone).id, frozen=True)
        fail_over(lone)
        before = (*shown(lone), row(lone).frozen)
        lone.service.stop()
        lone.service.start()

        assert (*shown(lone), row(lone).frozen) == before
        assert before == (True, "failed-over", "failed-over", "second", True)

    def test_a_driver_is_made_for_the_target_in_use(self, lone: Cloud) -> None:
        fail_over(lone)
        lone.service.stop()
        lone.service.start()

        given = [call["active"] for call in lone.script.calls("do_setup")]
        assert given == [None, "second"]

    @pytest.mark.parametrize("method", ["freeze", "thaw"])
    def test_a_call_that_was_killed_in_the_driver_is_finished(
        self, lone: Cloud, method: str
    ) -> None:
        lone.records.services.update(row(lone).id, disabled=method == "thaw")
        lone.script.plan(**{f"{method}_backend": {"exit": True}})
        with pytest.raises(oslo_messaging.MessagingTimeout):
            lone.client(timeout=3).call(dict(REQUEST), f"{method}_host")
        lone.service.kill()
        lone.script.plan()
        lone.service.start()
        lone.wait_idle()

        assert shown(lone)[:2] == ((True, "frozen") if method == "freeze" else (False, ""))

    @pytest.mark.parametrize("target", ["second", "default"])
    def test_a_failover_that_was_killed_in_the_driver_goes_on(
        self, lone: Cloud, target: str
    ) -> None:
        lost = lone.existing(replication_status="disabled")
        lone.records.services.update(row(lone).id, replication_status="failing-over")
        lone.script.plan(failover_host={"exit": True})
        lone.cast("failover", "3.8", secondary_backend_id=target)
        until(lambda: lone.script.calls("failover_host"), 60, "the driver to be asked")
        lone.service.kill()
        assert row(lone).replication_status == "failing-over"
        lone.script.plan()
        lone.service.start()
        lone.wait_idle()

        back = target == "default"
        assert row(lone).replication_status == ("enabled" if back else "failed-over")
        assert lone.status(lost) == ("available" if back else "error")

    def test_a_lost_backend_fails_over_and_comes_up(self, lone: Cloud) -> None:
        lone.service.stop()
        lone.script.plan(check_for_setup_error={"raise": "OSError"})
        lone.service.start()
        fail_over(lone)
        lone.script.plan()

        until(lambda: "is up" in lone.service.tail(20), 60, "the driver to come up")
        assert lone.script.calls("do_setup")[-1]["active"] == "second"
        assert row(lone).replication_status == "failed-over"

    def test_every_process_follows_a_failover(self, lone: Cloud) -> None:
        lone.service.stop()
        text = lone.service.config.read_text()
        lone.service.config.write_text(text.replace("[b1]", "[b1]\nprocesses = 2"))
        lone.service.start()
        fail_over(lone)

        # One has done it; the other is made anew for the target.
        until(
            lambda: [c["active"] for c in lone.script.calls("do_setup")][-1] == "second",
            60,
            "the other process",
        )
