# SPDX-License-Identifier: Apache-2.0
"""The answer of a connection, and the data stored for the next: spec/interfaces §2.2."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import VolumeBackendAPIException
from flows.context import Options
from flows.volume.connections import connection
from tests.unit.flows.world.world import NAMESPACE, World

IO = "total_iops_sec"
CONNECTOR = {"initiator": "iqn.1", "host": "node", "auth_password": "hush"}


@pytest.fixture
def ready(world: World) -> World:
    world.add_volume(size=10)
    return world


def initialize(world: World, connector: Any = CONNECTOR) -> Any:
    return world.call(connection.initialize, volume_id="v1", connector=connector)


class TestInitiatorData:
    """A driver's data for an initiator is stored, and passed to it next time."""

    @pytest.mark.parametrize("key", ["initiator_updates", "initiator_update"])
    def test_set_then_removed(self, ready: World, key: str) -> None:
        info = {"driver_volume_type": "iscsi", "data": {}}
        ready.initiators.kept["iqn.1", NAMESPACE] = {"old": "1", "gone": "1"}
        updates = {"set_values": {"new": "2", "brief": "3"}, "remove_values": ["gone", "brief"]}
        ready.driver.plan["initialize_connection"] = {**info, key: updates}

        answer = initialize(ready)

        (call,) = ready.driver.called("initialize_connection")
        assert call["initiator_data"] == {"old": "1", "gone": "1"}
        assert ready.initiators.kept["iqn.1", NAMESPACE] == {"old": "1", "new": "2"}
        assert key not in answer

    def test_nothing_is_handed_over_where_nothing_is_kept(self, ready: World) -> None:
        initialize(ready)

        assert ready.driver.called("initialize_connection")[0]["initiator_data"] is None

    def test_a_driver_that_does_not_take_it_is_not_given_it(
        self, ready: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        info = {"driver_volume_type": "iscsi", "data": {}}

        def old_style(self: Any, volume: Any, connector: Any) -> Any:
            return info

        monkeypatch.setattr(type(ready.driver), "initialize_connection", old_style)
        ready.initiators.kept["iqn.1", NAMESPACE] = {"old": "1"}

        assert initialize(ready)["driver_volume_type"] == "iscsi"

    @pytest.mark.parametrize(
        "updates",
        [
            pytest.param("x", id="text"),
            pytest.param({"set_values": ["a"]}, id="a list to set"),
            pytest.param({"remove_values": {"a": 1}}, id="a dict to remove"),
            pytest.param({"set_values": {"a": {"b": 1}}}, id="values that do not fit"),
        ],
    )
    def test_rubbish_is_the_drivers_error(self, ready: World, updates: Any) -> None:
        info = {"driver_volume_type": "iscsi", "data": {}, "initiator_updates": updates}
        ready.driver.plan["initialize_connection"] = info

        with pytest.raises(VolumeBackendAPIException):
            initialize(ready)

        assert ready.driver.exports == set()

    def test_updates_for_nobody(self, ready: World) -> None:
        updates = {"set_values": {"a": "1"}}
        info = {"driver_volume_type": "fc", "data": {}, "initiator_updates": updates}
        ready.driver.plan["initialize_connection"] = info

        with pytest.raises(VolumeBackendAPIException):
            initialize(ready, {"wwpns": ["1"]})


class TestAccess:
    """What ``data`` gets besides the driver's fields."""

    def data(self, world: World, connector: Any = CONNECTOR, **said: Any) -> Any:
        info = {"driver_volume_type": "iscsi", "data": said}
        world.driver.plan["initialize_connection"] = info
        return initialize(world, connector)["data"]

    def test_of_a_plain_volume(self, ready: World) -> None:
        assert self.data(ready) == {
            "qos_specs": None,
            "access_mode": "rw",
            "encrypted": False,
            "enforce_multipath": False,
        }

    def test_cacheable_of_a_volume_without_a_type(self, ready: World) -> None:
        assert "cacheable" not in self.data(ready)
        assert self.data(ready, cacheable=True)["cacheable"] is True

    @pytest.mark.parametrize(
        ("admin", "mode"),
        [({"readonly": "True"}, "ro"), ({"readonly": "False"}, "rw"), ({}, "rw"),
         ({"readonly": "True", "attached_mode": "rw"}, "rw"), ({"attached_mode": "ro"}, "ro")],
    )  # fmt: skip
    def test_access_mode(self, ready: World, admin: Any, mode: str) -> None:
        ready.db.pairs["admin_metadata", "v1"] = admin

        assert self.data(ready)["access_mode"] == mode

    @pytest.mark.parametrize(
        ("key", "said", "encrypted"),
        [("k", {}, True), (None, {}, False), ("k", {"encrypted": False}, False),
         (None, {"encrypted": True}, True), ("k", {"encrypted": None}, True)],
    )  # fmt: skip
    def test_encrypted(self, ready: World, key: Any, said: Any, encrypted: bool) -> None:
        ready.volume()["encryption_key_id"] = key

        assert self.data(ready, **said)["encrypted"] is encrypted

    @pytest.mark.parametrize(
        ("spec", "said", "cacheable"),
        [("<is> True", {}, True), ("<is> True", {"cacheable": False}, False),
         ("<is> True", {"cacheable": 1}, True), ("<is> True", {"cacheable": None}, True),
         ("<is> False", {}, False), ("True", {}, False), (None, {}, False),
         (None, {"cacheable": True}, False), (None, {"cacheable": False}, False)],
    )  # fmt: skip
    def test_cacheable(self, ready: World, spec: Any, said: Any, cacheable: Any) -> None:
        ready.db.types["t1"] = {"extra_specs": {"cacheable": spec} if spec else {}}

        assert self.data(ready, **said)["cacheable"] is cacheable

    @pytest.mark.parametrize(("said", "discard"), [({}, True), ({"discard": None}, True),
                                                   ({"discard": False}, False)])  # fmt: skip
    def test_discard(self, ready: World, said: Any, discard: bool) -> None:
        ready.options = Options(report_discard_supported=True)

        assert self.data(ready, **said)["discard"] is discard

    def test_multipath(self, ready: World) -> None:
        assert self.data(ready, {"enforce_multipath": True})["enforce_multipath"] is True

    @pytest.mark.parametrize(
        ("geometry", "said", "physical", "logical"),
        [
            ("512", {}, "512", "512"),
            ("512e", {}, "4096", "512"),
            ("4k", {}, "4096", "4096"),
            (None, {}, None, None),
            ("4k", {"physical_block_size": "512"}, "512", None),
            ("4k", {"logical_block_size": "512"}, None, "512"),
            (None, {"physical_block_size": "8", "logical_block_size": "8"}, "8", "8"),
        ],
    )
    def test_sizes_of_blocks(
        self, ready: World, geometry: Any, said: Any, physical: Any, logical: Any
    ) -> None:
        ready.options = Options(disk_geometry=geometry)

        data = self.data(ready, **said)

        sizes = (data.get("physical_block_size"), data.get("logical_block_size"))
        assert sizes == (physical, logical)

    @pytest.mark.parametrize(
        ("consumer", "specs", "seen"),
        [
            pytest.param("front-end", {"total_iops_sec": "9"}, {"total_iops_sec": "9"}, id="front"),
            pytest.param("both", {"total_iops_sec": "9"}, {"total_iops_sec": "9"}, id="both"),
            pytest.param("back-end", {"total_iops_sec": "9"}, None, id="back"),
            pytest.param("both", {}, {}, id="none"),
            pytest.param("both", {f"{IO}_per_gb": "5"}, {IO: 50}, id="times the size"),
            pytest.param(
                *("both", {f"{IO}_per_gb": "5", f"{IO}_per_gb_min": "70"}, {IO: 70}), id="at least"
            ),
            pytest.param(
                *("both", {f"{IO}_per_gb": "5", f"{IO}_max": "30"}, {IO: 30}), id="at most"
            ),
            pytest.param("both", {f"{IO}_max": "30"}, {f"{IO}_max": "30"}, id="a burst"),
            pytest.param("both", {f"{IO}_per_gb": "fast", "y": "1"}, {"y": "1"}, id="no number"),
            pytest.param("both", {"x_per_gb": "5"}, {"x_per_gb": "5"}, id="another name"),
        ],
    )
    def test_quality_of_service(self, ready: World, consumer: str, specs: Any, seen: Any) -> None:
        ready.db.qos["t1"] = {"consumer": consumer, "specs": specs}

        assert self.data(ready)["qos_specs"] == seen
