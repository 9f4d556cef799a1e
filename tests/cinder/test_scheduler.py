# SPDX-License-Identifier: Apache-2.0
"""Whatever a driver returns, Cinder's own scheduler can use the report of its backend.

The reports of fuzzed statistics are given to the real HostManager, filters and weighers, beside
a backend that is well: every call returns, and the other backend gets its volume.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from oslo_utils import timeutils  # noqa: E402

from tests.conformance import cinders  # noqa: E402
from tests.fuzzed_stats import STATS  # noqa: E402
from worker.backends.capabilities import Capabilities  # noqa: E402
from worker.backends.stats import NOTIFIED, StatsCheck  # noqa: E402
from worker.rpc.clients.scheduler import of_known_capacity  # noqa: E402

NFS = "cinder.volume.drivers.nfs.NfsDriver"
FUZZED, WELL = "node@b1", "node@well"

WELL_STATS = {
    "volume_backend_name": "well",
    "vendor_name": "Test",
    "driver_version": "1.0",
    "storage_protocol": "iSCSI",
    "pools": [{"pool_name": "p", "total_capacity_gb": 100, "free_capacity_gb": 100}],
}

FILTERS = [
    "AvailabilityZoneFilter",
    "CapacityFilter",
    "CapabilitiesFilter",
    "DriverFilter",
]
"""Three of them are Cinder's default."""

WEIGHERS = ["CapacityWeigher", "AllocatedCapacityWeigher", "GoodnessWeigher", "ChanceWeigher"]

EXTRA_SPECS: list[dict[str, str]] = [
    {},
    {"provisioning:type": "thick"},
    {"thin_provisioning_support": "<is> True", "capabilities:vendor": "Test"},
    {"capabilities:level:a": ">= 5", "storage_protocol": "<or> iSCSI <or> nfs"},
    {"volume_backend_name": "s== well"},
]


class Service(dict[str, Any]):
    """A row of the services table."""

    is_up = True
    cluster_name = None

    def __init__(self, host: str) -> None:
        super().__init__(host=host, availability_zone="nova")
        self.host = self.service_topic_queue = host


class Backend:
    """A backend whose driver returns given statistics."""

    def __init__(self, host: str) -> None:
        self.host, self.name = host, host.partition("@")[2]
        self.stats_check = StatsCheck(self.name, host)
        self.answer: Any = {}
        self._capabilities = Capabilities(self, lambda: {"p1": 3})  # type: ignore[arg-type]

    def refresh(self) -> dict[str, Any]:
        return self.stats_check.clean(self.answer)

    def report(self, answer: Any) -> Any:
        """Return a report as it arrives, read from JSON."""
        self.answer = answer
        return json.loads(json.dumps(self._capabilities.fresh(), allow_nan=False))


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Any]:
    """Cinder's module of the HostManager, with services from a list."""
    cinders.load(NFS)
    objects = importlib.import_module("cinder.objects")
    objects.register_all()
    module = importlib.import_module("cinder.scheduler.host_manager")
    found = mock.Mock(objects=[Service(FUZZED), Service(WELL)])
    with (
        mock.patch.object(module.objects.ServiceList, "get_all", return_value=found),
        mock.patch.object(module.volume_utils, "notify_about_capacity_usage"),
    ):
        yield module
    module.CONF.clear_override("max_over_subscription_ratio")
    module.CONF.clear_override("capacity_weight_multiplier")


def place(manager: Any, size: int, extra_specs: dict[str, str], operation: str) -> list[Any]:
    """Return the backends that a volume may go to, the best one first."""
    context = importlib.import_module("cinder.context").get_admin_context()
    volume_type = {"id": "t1", "extra_specs": extra_specs}
    volume = {"size": size, "availability_zone": "nova", "attach_status": "attached"}
    properties = {
        "context": context,
        "size": size,
        "volume_type": volume_type,
        "resource_type": volume_type,
        "availability_zone": "nova",
        "request_spec": {
            "volume_id": "v1",
            "volume_properties": volume,
            "volume_type": volume_type,
            "operation": operation,
        },
    }
    states = list(manager.get_all_backend_states(context))
    fit = manager.get_filtered_backends(states, properties, FILTERS)
    ordered = [found.obj for found in manager.get_weighed_backends(fit, properties, WEIGHERS)]
    for state in ordered:
        state.consume_from_volume({"size": size})
    return ordered


@settings(max_examples=40, deadline=None)
@given(
    answers=st.lists(STATS, min_size=1, max_size=3),
    extra_specs=st.sampled_from(EXTRA_SPECS),
    operation=st.sampled_from(["create_volume", "extend_volume"]),
    ratio=st.sampled_from(["20.0", "auto"]),
    multiplier=st.sampled_from([1.0, -1.0]),
)
def test_no_report_stops_the_scheduler(
    scheduler: Any,
    answers: list[Any],
    extra_specs: dict[str, str],
    operation: str,
    ratio: str,
    multiplier: float,
) -> None:
    manager = scheduler.HostManager()
    scheduler.CONF.set_override("max_over_subscription_ratio", ratio)
    scheduler.CONF.set_override("capacity_weight_multiplier", multiplier)
    fuzzed, well = Backend(FUZZED), Backend(WELL)
    for answer in answers:
        for backend, statistics in ((fuzzed, answer), (well, WELL_STATS)):
            report, now = backend.report(statistics), timeutils.utcnow()
            manager.update_service_capabilities("volume", backend.host, report, None, now)
            later = timeutils.utcnow()
            notified = of_known_capacity(report)
            manager.notify_service_capabilities("volume", backend.host, notified, later)
        placed = place(manager, 2, extra_specs, operation)
        manager.get_pools(importlib.import_module("cinder.context").get_admin_context())

    assert manager.service_states[FUZZED]["timestamp"] == manager.backend_state_map[FUZZED].updated
    if extra_specs in ({}, {"provisioning:type": "thick"}):
        assert any(state.host == f"{WELL}#p" for state in placed)


@pytest.mark.parametrize(
    "broken",
    [
        {"free_capacity_gb": float("inf"), "total_capacity_gb": float("inf")},
        {"free_capacity_gb": float("nan")},
        {"provisioned_capacity_gb": "unknown", "thin_provisioning_support": True},
        {"reserved_percentage": 100, "thin_provisioning_support": True},
        {"goodness_function": "'text'"},
        {"goodness_function": "9^9^9^9"},
        {"filter_function": "99999999 ^ 99999999"},
        {"filter_function": "'infinite' * 1073741824 * 1024"},
        {"timestamp": "today"},
        {"pool_name": 7},
        {"pool_name": None},
    ],
)
def test_the_named_reports(scheduler: Any, broken: dict[str, Any]) -> None:
    manager = scheduler.HostManager()
    sound = {"pool_name": "p1", "total_capacity_gb": 10, "free_capacity_gb": 5}
    fuzzed, well = Backend(FUZZED), Backend(WELL)
    for answer in ({**WELL_STATS, "pools": [sound]}, {**WELL_STATS, "pools": [sound | broken]}):
        for backend, statistics in ((fuzzed, answer), (well, WELL_STATS)):
            report = backend.report(statistics)
            manager.update_service_capabilities(
                "volume", backend.host, report, None, timeutils.utcnow()
            )
        placed = place(manager, 1, {}, "create_volume")

    assert any(state.host == f"{WELL}#p" for state in placed)


@pytest.mark.parametrize("capacity", ["unknown", "infinite"])
def test_a_pool_of_unknown_capacity_is_not_notified(scheduler: Any, capacity: str) -> None:
    manager, now = scheduler.HostManager(), timeutils.utcnow()
    known = {**dict.fromkeys(NOTIFIED, 1), "pool_name": "p1"}
    pools = [known | {"pool_name": "p2", "free_capacity_gb": capacity}, known]
    report = of_known_capacity(Backend(WELL).report({**WELL_STATS, "pools": pools}))
    with mock.patch.object(scheduler.volume_utils, "notify_about_capacity_usage") as notify:
        manager.notify_service_capabilities("volume", WELL, report, now)

    assert [call.args[1]["name_to_id"] for call in notify.mock_calls] == [f"{WELL}#p1", WELL]
