# SPDX-License-Identifier: Apache-2.0
"""The check of a driver's statistics: spec/interfaces §2.1."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from worker.backends.stats import OPTIONAL, StatsCheck, StatsError
from worker.backends.volume_backend import VolumeBackend
from worker.outage_log import FailureLog

COMPLETE: dict[str, Any] = {
    "volume_backend_name": "b1",
    "vendor_name": "Test",
    "driver_version": "1.0",
    "storage_protocol": "iSCSI",
    "total_capacity_gb": 100,
    "free_capacity_gb": 50.5,
}
POOL: dict[str, Any] = {"pool_name": "p1", "total_capacity_gb": 10, "free_capacity_gb": "unknown"}


@pytest.fixture
def check() -> StatsCheck:
    return StatsCheck("b1")


def test_complete_statistics_pass_unchanged(check, caplog):
    assert check.clean(COMPLETE) == COMPLETE
    assert caplog.messages == []


@pytest.mark.parametrize("field", COMPLETE)
def test_a_required_field_that_is_missing_is_logged(check, caplog, field):
    rest = {name: value for name, value in COMPLETE.items() if name != field}

    assert check.clean(rest) == rest
    assert caplog.messages == [
        f"backend b1: statistics: {field} is missing, which the scheduler needs"
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vendor_name", 7),
        ("total_capacity_gb", -1),
        ("total_capacity_gb", "much"),
        ("free_capacity_gb", True),
        ("free_capacity_gb", None),
        ("reserved_percentage", 101),
        ("reserved_percentage", -1),
        ("multiattach", "maybe"),
        ("multiattach", 1),
        ("new_volumes_are_zero", "True"),
        ("new_volumes_are_zero", 1),
        ("max_over_subscription_ratio", "many"),
        ("max_over_subscription_ratio", "-2"),
        ("total_volumes", 1.5),
        ("total_volumes", True),
        ("filter_function", 7),
        ("provisioned_capacity_gb", "unknown"),
        ("reserved_percentage", float("nan")),
        ("max_over_subscription_ratio", float("inf")),
        ("max_over_subscription_ratio", "inf"),
    ],
)
def test_a_malformed_field_is_left_out(check, caplog, field, value):
    found = check.clean({**COMPLETE, field: value})

    assert field not in found
    assert f"{field} is {value!r}, not " in caplog.messages[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total_capacity_gb", "infinite"),
        ("total_capacity_gb", 0),
        ("max_over_subscription_ratio", "auto"),
        ("max_over_subscription_ratio", "2.5"),
        ("max_over_subscription_ratio", 20),
        ("reserved_percentage", 100),
        ("filter_function", None),
        ("goodness_function", "capabilities.total_volumes"),
        ("multiattach", False),
        ("thin_provisioning_support", "True"),
        ("QoS_support", "false"),
        ("of_the_vendor", {"a": [1, "b", None]}),
    ],
)
def test_a_well_formed_field_stays(check, caplog, field, value):
    assert check.clean({**COMPLETE, field: value})[field] == value
    assert caplog.messages == []


def test_an_optional_field_may_be_missing(check, caplog):
    assert not OPTIONAL.keys() & check.clean(COMPLETE).keys()
    assert caplog.messages == []


def test_a_malformed_field_is_logged_once(check, caplog):
    for value in (7, 8):
        check.clean({**COMPLETE, "vendor_name": value})

    assert len(caplog.messages) == 1


class TestPools:
    def top(self, *pools: Any) -> dict[str, Any]:
        names = ("volume_backend_name", "vendor_name", "driver_version", "storage_protocol")
        return {**{name: COMPLETE[name] for name in names}, "pools": list(pools)}

    def test_capacity_is_the_pools(self, check, caplog):
        assert check.clean(self.top(POOL)) == self.top(POOL)
        assert caplog.messages == []

    def test_an_empty_list_is_a_list(self, check):
        assert check.clean(self.top())["pools"] == []

    def test_a_malformed_field_is_logged_with_its_pool(self, check, caplog):
        unnamed = {"total_capacity_gb": 1, "free_capacity_gb": 1}
        found = check.clean(self.top({**POOL, "free_capacity_gb": "few"}, unnamed))

        assert found["pools"] == [{**POOL, "free_capacity_gb": None}]
        assert "pool p1: free_capacity_gb is 'few'" in caplog.messages[0]
        assert "pool 1: pool_name is missing" in caplog.messages[1]

    def test_the_pools_of_the_driver_are_not_changed(self, check):
        stats = self.top({**POOL, "free_capacity_gb": "few"})
        check.clean(stats)

        assert stats["pools"][0]["free_capacity_gb"] == "few"


@pytest.mark.parametrize("answer", [None, 7, "text", [COMPLETE]])
def test_an_answer_that_is_no_dict(check, answer):
    with pytest.raises(StatsError, match=f"b1: .* returned a {type(answer).__name__}"):
        check.clean(answer)


@pytest.mark.parametrize("pools", [7, "text", {"p1": POOL}, [7], [POOL, None]])
def test_pools_that_are_no_list_of_dicts(check, pools):
    with pytest.raises(StatsError, match="pools is no list of dicts"):
        check.clean({**COMPLETE, "pools": pools})


def test_statistics_that_cannot_be_used_are_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend: Any = VolumeBackend.__new__(VolumeBackend)
    backend._stats, backend._stats_log = {"pools": []}, FailureLog(logging.getLogger("stats"))
    backend.require_driver = lambda: None
    texts = iter(["a list", "a list", "a text", None, "a text"])

    def checked(_driver: object) -> dict[str, Any]:
        if (text := next(texts)) is not None:
            raise StatsError(text)
        return {}

    backend._checked = checked
    for _ in range(5):
        backend.refresh()

    logged = [text.partition(";")[0] for text in caplog.messages]
    assert logged == ["a list", "a text", "a text"]
