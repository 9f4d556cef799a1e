# SPDX-License-Identifier: Apache-2.0
"""Reverting with a driver that cannot: the data comes through a temporary volume."""

from __future__ import annotations

import os
from typing import Any

import pytest

from flows.volume import reimage, revert
from flows.volume.data import data_copy
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import World
from worker.adapters import host_attach

NOTES = [
    *("volume.revert.start", "snapshot.revert.start"),
    *("snapshot.create.start", "snapshot.create.end"),  # of the safety snapshot, which stays
    *("volume.revert.end", "snapshot.revert.end"),
]


@pytest.fixture
def back(world: World) -> World:
    world.add_volume(status="reverting", provider_id="original")
    world.add_snapshot(status="restoring")
    return world


@pytest.fixture
def copying(back: World) -> World:
    back.driver.missing.add("revert_to_snapshot")
    back.driver.directory.joinpath("volume-v1").write_bytes(b"new" + b"x" * (8 << 20) + b"new")
    back.driver.directory.joinpath("revert-s1").write_bytes(b"old" + bytes(8 << 20) + b"old")
    return back


def run(world: World, snapshot_id: str = "s1", **how: bool) -> Any:
    return world.run(revert.flow, volume_id="v1", snapshot_id=snapshot_id, **how)


def safeties(world: World) -> list[dict[str, Any]]:
    return [row for row in world.db.snapshots.of() if row["id"] != "s1"]


def assert_failed(world: World) -> None:
    assert world.volume()["status"] == "error"
    assert world.snapshot()["status"] == "available"
    assert world.notified() == NOTES


class TestCopy:
    """A driver that cannot revert: the data comes through a temporary volume."""

    def test_the_data_is_the_snapshots(self, copying: World) -> None:
        assert run(copying).state == "done"

        written = copying.driver.directory.joinpath("volume-v1").read_bytes()
        assert written == b"old" + bytes(8 << 20) + b"old"
        assert len(copying.driver.called("validate_connector")) == 2
        assert len(copying.driver.called("terminate_connection")) == 2
        assert copying.volume()["status"] == "available"
        assert copying.driver.objects == {"volume-v1", "snapshot-s1"}
        assert copying.driver.exports == set()

    def test_holes_on_both_sides_stay_holes(self, copying: World) -> None:
        target = copying.driver.directory / "volume-v1"
        target.write_bytes(b"")
        os.truncate(target, (8 << 20) + 6)

        run(copying)

        assert target.read_bytes() == b"old" + bytes(8 << 20) + b"old"
        assert target.stat().st_blocks * 512 < 7 << 20

    def test_the_data_is_on_the_disk_before_anything_says_so(
        self, copying: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[str] = []
        monkeypatch.setattr(os, "fsync", lambda _: synced.append(copying.volume()["status"]))

        run(copying)

        assert synced == ["reverting"]

    def test_the_temporary_volume_is_not_mistaken_for_the_original(self, copying: World) -> None:
        copying.driver.plan["create_volume_from_snapshot"] = {"provider_id": "temporary"}

        run(copying)

        deleted = [call["volume"] for call in copying.driver.called("delete_volume")]
        assert {volume.name for volume in deleted} == {"revert-s1"}
        assert {volume.provider_id for volume in deleted} <= {None, "temporary"}
        assert deleted[-1].provider_id == "temporary"

    def test_a_protocol_that_needs_os_brick_is_named(
        self, copying: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(host_attach, "_brick", lambda: None)
        info = {"driver_volume_type": "iscsi", "data": {"device_path": "/x"}}
        copying.driver.plan["initialize_connection"] = info

        text = run(copying).failure.exception_str
        assert "iscsi" in text and "pip install os-brick" in text

    @pytest.mark.parametrize(
        "info",
        [
            pytest.param(
                {"driver_volume_type": "iscsi", "data": {"device_path": "/x"}}, id="iscsi"
            ),
            pytest.param({"driver_volume_type": "local", "data": {}}, id="no path"),
            pytest.param(
                {"driver_volume_type": "local", "data": {"device_path": "/no"}}, id="gone"
            ),
            pytest.param({"data": {}}, id="no type"),
            pytest.param(None, id="nothing"),
        ],
    )
    def test_what_cannot_be_reached_is_a_clear_failure(self, copying: World, info: Any) -> None:
        copying.driver.plan["initialize_connection"] = info

        assert run(copying).state == "failed"

        assert_failed(copying)
        assert len(safeties(copying)) == 1
        assert "revert-s1" not in copying.driver.objects
        assert copying.driver.exports == set()

    @pytest.mark.parametrize("status", ["error", "available", "in-use"])
    def test_the_temporary_volume_goes_where_the_status_was_reset_after_a_kill(
        self, copying: World, status: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die(*_: Any) -> None:
            copying.dead = True
            raise Killed("while it is copied")

        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(data_copy, "_copy", die)
            run(copying)
        assert "revert-s1" in copying.driver.objects
        copying.revive()
        copying.volume()["status"] = status
        before = len(copying.driver.calls)

        run(copying, resumed=True)

        assert "revert-s1" not in copying.driver.objects
        assert copying.volume()["status"] == status
        touched = {
            call["volume"].name for _, call in copying.driver.calls[before:] if "volume" in call
        }
        assert touched == {"revert-s1"}

    def test_two_volumes_that_are_written_from_one_snapshot_use_two_temporary_volumes(
        self, copying: World
    ) -> None:
        copying.snapshot()["status"] = "available"
        copying.add_volume("v2", status="downloading", previous_status="available")
        args = {"volume_id": "v2", "image_meta": {"id": "i1"}, "snapshot_id": "s1"}

        copying.driver.directory.joinpath("volume-v2").write_bytes(bytes(100))
        assert copying.run(reimage.flow, **args).state == "done"

        deleted = {call["volume"].name for call in copying.driver.called("delete_volume")}
        assert len(deleted) == 1
        assert not deleted & {"revert-s1", "volume-v1", "volume-v2"}
