# SPDX-License-Identifier: Apache-2.0
"""Whatever a driver returns, a capability report has values only that a scheduler can use."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzed_stats import STATS
from tests.length import examples
from worker.backends.capabilities import Capabilities
from worker.backends.reports import report_values
from worker.backends.stats import CAPACITY, NOTIFIED, StatsCheck, StatsError

HOST = "node@b1"


class Backend:
    """A backend whose driver returns given statistics."""

    name, host = "b1", HOST

    def __init__(self) -> None:
        self.stats_check = StatsCheck(self.name, HOST)
        self.answer: Any = {}

    def refresh(self) -> dict[str, Any]:
        return self.stats_check.clean(self.answer)


def report_of(*answers: Any, allocated: int = 7) -> dict[str, Any]:
    """Return the last of the reports of a driver with these answers, one after the other."""
    backend = Backend()
    capabilities = Capabilities(
        backend,  # type: ignore[arg-type]
        lambda: {"p1": allocated},
        goodness_function="stats.free_capacity_gb",
    )
    for answer in answers:
        backend.answer = answer
        report = capabilities.fresh()
    return report


def _leaves(value: Any, depth: int = 0) -> Iterator[tuple[Any, int]]:
    if isinstance(value, dict):
        for key, member in value.items():
            assert type(key) is str
            yield from _leaves(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            yield from _leaves(member, depth)
    else:
        yield value, depth


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(STATS, min_size=1, max_size=3))
def test_a_report_is_plain_json_of_bounded_size(answers: list[Any]) -> None:
    report = report_of(*answers)

    text = json.dumps(report, allow_nan=False, ensure_ascii=False)
    assert len(text.encode()) < 2 * report_values.MAX_SIZE  # and no lone surrogate
    assert json.loads(text) == report
    for leaf, depth in _leaves(report):
        assert type(leaf) in (str, int, float, bool, type(None))
        assert depth <= report_values.MAX_DEPTH + 2
        assert not isinstance(leaf, int | float) or abs(leaf) <= report_values.MAX_NUMBER


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(STATS, min_size=1, max_size=3))
def test_capacities_are_numbers_or_words_and_pools_have_names_of_their_own(
    answers: list[Any],
) -> None:
    report = report_of(*answers)

    pools = report.get("pools", [])
    names = [pool["pool_name"] for pool in pools]
    assert len(set(names)) == len(names)
    assert all(name and len(f"{HOST}#{name}") <= 255 and "#" not in name for name in names)
    for pool in pools or [report]:
        for field in CAPACITY:
            assert pool.get(field, 0) in ("infinite", "unknown") or pool.get(field, 0) >= 0
        assert pool.get("provisioned_capacity_gb", 0) >= 0
        assert pool["allocated_capacity_gb"] >= 0
        assert 0 <= pool.get("reserved_percentage", 0) <= 100
        assert "timestamp" not in pool


@settings(max_examples=examples(60), deadline=None)
@given(STATS, STATS)
def test_a_pool_does_not_lose_or_complete_its_fields(first: Any, second: Any) -> None:
    backend = Backend()
    capabilities = Capabilities(backend, dict)  # type: ignore[arg-type]
    reports = []
    for backend.answer in (first, second):
        reports.append({p["pool_name"]: p for p in capabilities.fresh().get("pools", [])})

    for name in reports[0].keys() & reports[1].keys():
        before, after = (NOTIFIED & report[name].keys() for report in reports)
        assert after >= before
        assert after == before or after != NOTIFIED


def test_a_pool_that_was_missing_for_a_report_is_not_completed() -> None:
    whole = {**dict.fromkeys(NOTIFIED - {"thin_provisioning_support"}, 1), **POOL}
    whole |= {"thin_provisioning_support": True, "thick_provisioning_support": True}
    part = {k: v for k, v in whole.items() if k != "provisioned_capacity_gb"}

    (pool,) = report_of({"pools": [part]}, {"pools": []}, {"pools": [whole]})["pools"]
    assert "provisioned_capacity_gb" not in pool


POOL = {"pool_name": "p1", "total_capacity_gb": 10, "free_capacity_gb": 5}


def reported(**fields: Any) -> dict[str, Any]:
    (pool,) = report_of({"pools": [{**POOL, **fields}]})["pools"]
    return dict(pool)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (float("inf"), "infinite"),
        (10**400, "infinite"),
        (float("nan"), "unknown"),
        (float("-inf"), 0),
        (-1, 0),
        ("much", 0),
        (3.5, 3.5),
    ],
)
def test_a_capacity_that_is_no_finite_number(found: Any, wanted: Any) -> None:
    assert reported(free_capacity_gb=found)["free_capacity_gb"] == wanted


@pytest.mark.parametrize("found", ["unknown", "infinite", float("nan"), None])
def test_provisioned_capacity_is_never_a_word(found: Any) -> None:
    assert reported(provisioned_capacity_gb=found)["provisioned_capacity_gb"] == 7


def test_free_capacity_is_not_more_than_the_total() -> None:
    assert reported(free_capacity_gb=11)["free_capacity_gb"] == 10


@pytest.mark.parametrize(("total", "reserved"), [(10, 100), (0.004, 0), (100.004, 100)])
def test_a_thin_pool_without_usable_capacity_is_not_thin(total: float, reserved: int) -> None:
    pool = reported(
        total_capacity_gb=total, reserved_percentage=reserved, thin_provisioning_support=True
    )

    assert pool["thin_provisioning_support"] is False


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("70", "70"),
        ("volume.size < 5", "max(0, volume.size < 5)"),
        ("'a'), ('b'", None),
        ("((", None),
        ("'*' < '^'", "max(0, '*' < '^')"),
        ("stats.free_capacity_gb * 2", "max(0, stats.free_capacity_gb * 1.0 * 2)"),
        ("9 ^ 99999999", "max(0, 9 ^ 99999999 ^ 1.0)"),
        ("9 ^ 9^volume.size", "max(0, 9 ^ 9^volume.size ^ 1.0)"),
        ("9 ^ (9999 - 1)", None),
        ("9 ^ max(9, 9)", None),
        ("9 ^ max 9", None),
        ("'\\'' * 99999999", None),
        ("1" + "+ 1" * 400, None),
    ],
)
def test_a_goodness_function_gives_a_number(found: str, wanted: str | None) -> None:
    assert reported(goodness_function=found)["goodness_function"] == wanted


def test_a_filter_function_multiplies_floats_only() -> None:
    assert reported(filter_function="'a' * 9")["filter_function"] == "'a' * 1.0 * 9"
    assert reported(filter_function="volume.size < 5")["filter_function"] == "volume.size < 5"


def test_functions_of_many_pools_are_left_out_if_they_are_long_together() -> None:
    pools = [{**POOL, "pool_name": f"p{n}"} for n in range(200)]
    short = report_of({"pools": pools, "filter_function": "volume.size < 5"})
    long = report_of({"pools": pools, "filter_function": "volume.size < 5" + " " * 400})
    own = report_of({"pools": [{**pool, "filter_function": "1" * 400} for pool in pools]})

    assert short["filter_function"] == "volume.size < 5"
    assert long.get("filter_function") is None
    assert not any(pool.get("filter_function") for pool in own["pools"])


@pytest.mark.parametrize("name", [None, 7, "", "a#b", "\ud800", "a\0", ["p1"], "x" * 248])
def test_a_pool_without_a_usable_name_is_left_out(
    name: Any, caplog: pytest.LogCaptureFixture
) -> None:
    report = report_of({"pools": [{**POOL, "pool_name": name}, POOL]})

    assert [pool["pool_name"] for pool in report["pools"]] == ["p1"]
    assert any("pool 0: pool_name" in line for line in caplog.messages)


def test_everything_left_out_is_logged_once_for_all_reports(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = {
        "pools": [{**POOL, "level": float("inf"), "nested": {"a": object()}}, POOL],
        "timestamp": 5,
        7: 8,
    }
    with caplog.at_level(logging.WARNING):
        report_of(*[answer] * 5)

    left_out = [line for line in caplog.messages if "is missing" not in line]
    assert sorted(line.split(": ", 2)[2].split(" ")[0] for line in left_out) == sorted(
        ["7", "timestamp", "pool", "pool", "pool"]
    )
    assert len(set(caplog.messages)) == len(caplog.messages)


def test_pools_that_are_too_many_or_too_large_are_bounded() -> None:
    pools = [{**POOL, "pool_name": f"p{n}", "own": "x" * 8000} for n in range(2000)]

    report = report_of({"pools": pools})
    assert len(report["pools"]) == report_values.MAX_ITEMS
    assert all(pool["total_capacity_gb"] == 10 for pool in report["pools"])
    assert len(json.dumps(report)) < 2 * report_values.MAX_SIZE


def test_configured_capabilities_are_checked_as_well() -> None:
    backend = Backend()
    backend.answer = {"pools": [POOL]}
    extra = '{"free_capacity_gb": NaN, "level": Infinity, "pool_name": "p1"}'
    report = Capabilities(backend, dict, extra=extra).fresh()  # type: ignore[arg-type]

    assert report["pools"][0]["free_capacity_gb"] == "unknown"
    assert "level" not in report["pools"][0]


def test_an_answer_without_pools_that_can_be_used_is_an_error() -> None:
    with pytest.raises(StatsError):
        report_of({"pools": [None]})
