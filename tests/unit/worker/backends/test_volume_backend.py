# SPDX-License-Identifier: Apache-2.0
"""The driver of a backend: attempts at its set-up, its use, and its statistics."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from flows.errors import DriverNotInitialized
from worker.backends import volume_backend
from worker.backends.reports.slow_statistics import StatisticsTimer
from worker.backends.volume_backend import VolumeBackend
from worker.execution.concurrency import Limiter

STATS = {"volume_backend_name": "b1", "driver_version": "7", "storage_protocol": "NFS"}


class Driver:
    """A driver whose methods raise what a test plans for the whole class."""

    plan: dict[str, BaseException]
    capabilities = None

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.stats: Any = STATS
        self.directory: str | None = None

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.plan:
            raise self.plan[name]

    def do_setup(self, context: Any) -> None:
        assert context.is_admin
        self._called("do_setup")

    def check_for_setup_error(self) -> None:
        self._called("check_for_setup_error")

    def init_capabilities(self) -> None:
        self._called("init_capabilities")

    def get_volume_stats(self, refresh: bool) -> Any:
        assert refresh
        self._called("get_volume_stats")
        return self.stats

    def failover_host(self) -> str:
        return "failed over"


class Bench:
    """A backend, its options, and the drivers that it makes."""

    def __init__(self) -> None:
        self.plan: dict[str, BaseException] = {}
        self.made: list[Driver] = []
        self.options: dict[str, Any] = {}
        self.ready: list[Any] = []
        row: Any = SimpleNamespace(host="h1@b1", cluster=None, uuid="u1")
        self.backend = VolumeBackend(
            *("b1", row, self._make, SimpleNamespace(safe_get=self.options.get)),
            lambda driver, stats: self.ready.append((driver, dict(stats))),
            Limiter(),
            SimpleNamespace(),  # type: ignore[arg-type]
            StatisticsTimer("b1", 60.0),
        )

    def _make(self) -> Any:
        made = Driver()
        made.plan = self.plan
        self.made.append(made)
        return made


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_set_up_ends_with_the_statistics_and_the_driver_is_up(bench: Bench) -> None:
    assert bench.backend.attempt()

    (driver,) = bench.made
    assert driver.calls == [
        *("do_setup", "check_for_setup_error", "init_capabilities", "get_volume_stats")
    ]
    assert bench.backend.initialized
    assert bench.backend.stats()["driver_version"] == "7"
    assert bench.ready == [(driver, dict(bench.backend.stats()))]


@pytest.mark.parametrize(
    "broken", ["do_setup", "check_for_setup_error", "init_capabilities", "get_volume_stats"]
)
def test_a_failed_set_up_leaves_no_driver_but_its_reason(bench: Bench, broken: str) -> None:
    bench.plan[broken] = SystemExit("no array")

    assert not bench.backend.attempt()
    assert not bench.backend.initialized
    assert bench.ready == []
    with pytest.raises(DriverNotInitialized, match="b1 is not initialized: SystemExit: no array"):
        bench.backend.require_driver()


def test_each_attempt_has_an_instance_of_its_own(bench: Bench, monkeypatch: Any) -> None:
    monkeypatch.setattr(volume_backend, "RETRY_FIRST", 0.001)
    bench.plan["do_setup"] = OSError("away")
    make = bench.backend._make

    def third_succeeds() -> Any:
        if len(bench.made) == 2:
            bench.plan.clear()
        return make()

    bench.backend._make = third_succeeds
    bench.backend.initialize(threading.Event())

    assert [driver.calls[0] for driver in bench.made] == ["do_setup"] * 3
    assert bench.backend.initialized


def test_a_failover_uses_the_driver_whose_set_up_failed(bench: Bench) -> None:
    bench.plan["check_for_setup_error"] = OSError("the array is lost")
    bench.backend.attempt()

    assert bench.backend.any_driver().failover_host() == "failed over"


def test_without_any_instance_a_failover_fails(bench: Bench) -> None:
    with pytest.raises(DriverNotInitialized, match="still being set up"):
        bench.backend.any_driver()


def test_a_driver_that_is_up_is_any_driver(bench: Bench) -> None:
    bench.backend.attempt()

    assert bench.backend.any_driver() is bench.backend.require_driver()


def test_operations_fail_while_the_driver_is_set_up_again(bench: Bench) -> None:
    bench.backend.attempt()
    bench.plan["do_setup"] = OSError("away")
    stopping = threading.Event()
    stopping.set()
    bench.backend.renew(stopping)

    with pytest.raises(DriverNotInitialized, match="set up again after a failover"):
        bench.backend.require_driver()


def test_unusable_statistics_are_logged_once_and_the_last_ones_stay(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.backend.attempt()
    caplog.clear()
    before = dict(bench.backend.stats())
    bench.made[0].stats = ["rubbish"]
    for _ in range(2):
        assert bench.backend.refresh() == before

    lines = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert lines == [
        "backend b1: get_volume_stats returned a list; the last statistics stay in effect"
    ]


def test_properties_are_prepared_again_on_request(bench: Bench) -> None:
    bench.backend.attempt()
    bench.backend.properties()
    bench.backend.properties(renew=True)

    assert bench.made[0].calls.count("init_capabilities") == 2


@pytest.mark.parametrize(
    ("options", "namespace"),
    [
        ({"driver_data_namespace": "ns", "volume_backend_name": "name"}, "ns"),
        ({"volume_backend_name": "name"}, "name"),
        ({}, "Driver"),
    ],
)
def test_the_namespace_of_initiators(bench: Bench, options: Any, namespace: str) -> None:
    bench.options.update(options)
    bench.backend.attempt()

    assert bench.backend.initiator_namespace() == namespace


def test_a_directory_that_is_gone_takes_the_backend_down(bench: Bench) -> None:
    bench.backend.attempt()
    bench.backend._directory.problem = "it is not mounted"

    assert not bench.backend.initialized
    with pytest.raises(DriverNotInitialized, match="b1 is down: it is not mounted"):
        bench.backend.require_driver()
