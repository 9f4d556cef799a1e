# SPDX-License-Identifier: Apache-2.0
"""Detach in the old manner: spec/volume-rpc, detach_volume."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import RemoveExportException, VolumeBackendAPIException
from flows import errors
from flows.volume.connections import detach
from tests.unit.flows.tables import RAISED
from tests.unit.flows.world.world import World


def end(world: World, attachment_id: str | None = None) -> Any:
    return world.call(detach.detach, volume_id="v1", attachment_id=attachment_id)


def only(world: World) -> dict[str, Any]:
    (row,) = world.db.attachments.rows.values()
    return row


class TestDetach:
    @pytest.fixture
    def used(self, world: World) -> World:
        world.add_volume(status="in-use", attach_status="attached")
        world.add_attachment()
        world.db.pairs["admin_metadata", "v1"] = {"attached_mode": "rw", "readonly": "False"}
        return world

    @pytest.mark.parametrize("attachment_id", ["a1", None])
    def test_the_attachment_goes(self, used: World, attachment_id: Any) -> None:
        end(used, attachment_id)

        assert used.db.attachments.of() == []
        row = used.volume()
        assert (row["status"], row["attach_status"]) == ("available", "detached")
        assert used.db.pairs["admin_metadata", "v1"] == {"readonly": "False"}
        assert [name for name, _ in used.driver.calls] == ["detach_volume", "remove_export"]
        assert used.driver.called("detach_volume")[0]["attachment"].id == "a1"
        assert used.notified() == ["volume.detach.start", "volume.detach.end"]
        assert used.shown("volume.detach.end").status == "available"

    def test_an_unknown_attachment_only_settles_the_volume(self, used: World) -> None:
        used.volume()["status"] = "detaching"

        end(used, "gone")

        assert used.volume()["status"] == "in-use"
        assert used.driver.calls == []

    @pytest.mark.parametrize(("status", "stays"), [("in-use", True), ("detaching", False)])
    def test_a_resumed_call_without_a_name_ends_no_later_attachment(
        self, used: World, status: str, stays: bool
    ) -> None:
        used.volume()["status"] = status

        used.run(detach.detach, resumed=True, volume_id="v1", attachment_id=None)

        assert bool(used.db.attachments.of()) is stays
        assert bool(used.driver.calls) is not stays
        assert used.volume()["status"] == ("in-use" if stays else "available")

    def test_of_several_one_must_be_named(self, used: World) -> None:
        used.add_attachment("a2")

        with pytest.raises(errors.InvalidVolume):
            end(used)

        assert len(used.db.attachments.of()) == 2

    @pytest.mark.parametrize("resumed", [False, True])
    def test_of_several_the_others_stay_and_keep_the_export(
        self, used: World, resumed: bool
    ) -> None:
        used.add_attachment("a2")

        used.run(detach.detach, resumed=resumed, volume_id="v1", attachment_id="a1")

        assert [row["id"] for row in used.db.attachments.of()] == ["a2"]
        assert used.driver.called("remove_export") == []
        assert used.volume()["status"] == "in-use"
        assert [name for name, _ in used.driver.calls] == ["detach_volume"]

    def test_the_last_one_removes_the_export(self, used: World) -> None:
        used.add_attachment("a2")
        end(used, "a1")
        end(used, "a2")

        assert [name for name, _ in used.driver.calls] == [
            *("detach_volume", "detach_volume", "remove_export")
        ]

    def test_none_at_all(self, world: World) -> None:
        world.add_volume(status="detaching", attach_status="attached")

        end(world)

        assert world.volume()["status"] == "available"
        assert world.volume()["attach_status"] == "detached"

    def test_an_attachment_of_another_volume(self, used: World) -> None:
        used.add_volume("v2")
        used.add_attachment("a2", "v2")

        with pytest.raises(errors.InvalidInput):
            end(used, "a2")

        assert len(used.db.attachments.of()) == 2

    def test_a_driver_that_is_not_up(self, used: World) -> None:
        used.driver_up = False

        with pytest.raises(errors.DriverNotInitialized):
            end(used)

        assert only(used)["attach_status"] == "error_detaching"

    @pytest.mark.parametrize("error", RAISED)
    def test_whatever_the_driver_raises(self, used: World, error: BaseException) -> None:
        used.driver.plan["detach_volume"] = error

        with pytest.raises(VolumeBackendAPIException):
            end(used)

        assert only(used)["attach_status"] == "error_detaching"
        assert used.volume()["status"] == "in-use"

    @pytest.mark.parametrize("error", [p for p in RAISED if isinstance(p.values[0], Exception)])
    def test_an_export_that_stays_writes_nothing(self, used: World, error: Exception) -> None:
        used.driver.plan["remove_export"] = error

        with pytest.raises(RemoveExportException):
            end(used)

        assert only(used)["attach_status"] == "attached"
        assert used.volume()["status"] == "in-use"
