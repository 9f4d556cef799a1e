# SPDX-License-Identifier: Apache-2.0
"""Capabilities for the scheduler: spec/service §5."""

from __future__ import annotations

from typing import Any

import pytest

from flows.errors import DriverNotInitialized
from worker.backends.capabilities import Capabilities
from worker.backends.stats import StatsCheck

STATS = {"volume_backend_name": "b1", "storage_protocol": "NFS", "free_capacity_gb": 5}
POOLS = {**STATS, "pools": [{"pool_name": "p1"}, {"pool_name": "p2"}]}


class Backend:
    """A backend with given statistics, which counts their refreshes."""

    def __init__(self, stats: dict[str, Any]) -> None:
        self.stats_check = StatsCheck("b1")
        self._stats = stats
        self.refreshes = self.renewals = 0
        self.up = True

    def require_driver(self) -> None:
        if not self.up:
            raise DriverNotInitialized("no")

    def stats(self) -> dict[str, Any]:
        return self._stats

    def refresh(self) -> dict[str, Any]:
        self.refreshes += 1
        return self._stats

    def properties(self, *, renew: bool = False) -> dict[str, Any]:
        self.renewals += renew
        return {"properties": {"qos": {}}}


def capabilities(stats: dict[str, Any], **options: Any) -> Capabilities:
    allocated = options.pop("allocated", {})
    return Capabilities(Backend(stats), lambda: allocated, **options)  # type: ignore[arg-type]


def test_allocated_capacity_comes_from_the_database():
    found = capabilities(POOLS, allocated={"p1": 7, "gone": 3}).fresh()

    assert [pool["allocated_capacity_gb"] for pool in found["pools"]] == [7, 0]
    assert "allocated_capacity_gb" not in found


def test_a_backend_without_pools_has_all_of_it():
    assert capabilities(STATS, allocated={"p1": 7, "b1": 3}).fresh()["allocated_capacity_gb"] == 10


def test_extra_capabilities_are_those_of_each_pool():
    extra = '{"tier": "gold", "free_capacity_gb": 1}'

    found = capabilities(POOLS, extra=extra).fresh()
    assert [pool["tier"] for pool in found["pools"]] == ["gold", "gold"]
    assert "tier" not in found
    whole = {**STATS, "total_capacity_gb": 10}
    assert capabilities(whole, extra=extra).fresh()["free_capacity_gb"] == 1


@pytest.mark.parametrize(
    ("protocol", "cacheable"),
    [("iSCSI", True), ("FC", True), ("NVMe-oF", True), ("NFS", None), ("", None)],
)
def test_block_protocols_are_cacheable(protocol, cacheable):
    found = capabilities({**POOLS, "storage_protocol": protocol}).fresh()

    assert [pool.get("cacheable") for pool in found["pools"]] == [cacheable, cacheable]


def test_a_driver_may_say_that_it_is_not_cacheable():
    stats = {**STATS, "storage_protocol": "iSCSI", "cacheable": False}

    assert capabilities(stats).fresh()["cacheable"] is False


def test_functions_of_the_driver_win_over_configured_ones():
    configured = {"filter_function": "1 == 1", "goodness_function": "50"}

    found = capabilities({**STATS, "goodness_function": "70"}, **configured).fresh()
    assert (found["filter_function"], found["goodness_function"]) == ("1 == 1", "70")


def test_a_function_that_the_driver_leaves_empty_is_the_configured_one():
    found = capabilities({**STATS, "goodness_function": None}, goodness_function="50").fresh()

    assert found["goodness_function"] == "50"


def test_the_statistics_of_the_driver_are_not_changed():
    stats = {**STATS, "pools": [{"pool_name": "p1"}]}
    capabilities(stats, allocated={"p1": 7}, extra='{"a": 1}').fresh()

    assert stats == {**STATS, "pools": [{"pool_name": "p1"}]}


class TestCurrent:
    def test_the_last_statistics_are_returned_without_the_driver(self):
        backend = Backend(STATS)
        found = Capabilities(backend, dict).current(refresh=False)  # type: ignore[arg-type]

        assert found == {**STATS, "properties": {"qos": {}}}
        assert (backend.refreshes, backend.renewals) == (0, 0)

    def test_a_refresh_asks_the_driver(self):
        backend = Backend(STATS)
        found = Capabilities(backend, dict).current(refresh=True)  # type: ignore[arg-type]

        assert (found["allocated_capacity_gb"], backend.refreshes, backend.renewals) == (0, 1, 1)
        assert found["properties"] == {"qos": {}}

    def test_no_report_has_them(self):
        assert "properties" not in capabilities(STATS).fresh()

    @pytest.mark.parametrize("refresh", [False, True])
    def test_a_driver_that_is_not_up(self, refresh):
        backend = Backend(STATS)
        backend.up = False

        with pytest.raises(DriverNotInitialized):
            Capabilities(backend, dict).current(refresh=refresh)  # type: ignore[arg-type]
