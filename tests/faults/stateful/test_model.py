# SPDX-License-Identifier: Apache-2.0
"""A model of a backend, its rows and its quota; the service must agree after each step.

Hypothesis chooses operations, failures of their driver, and faults:
nothing, a kill at once, a kill inside the driver's call, or a stop in order.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from drivers.interface.records import Record
from tests.conftest import require
from tests.functional.cloud import PROJECT, Cloud
from tests.functional.service import Service
from tests.servers import Broker, Servers, until
from worker.db import models

MEANWHILE = st.sampled_from(["nothing", "nothing", "kill at once", "kill inside", "stop"])
FAILS = st.sampled_from([False, False, True])
_numbers = itertools.count()


@dataclass(eq=False)
class Known:
    """A volume or a snapshot as it should be."""

    record: Record
    status: str
    size: int
    exists: bool = True
    source: Known | None = None


class Model(RuleBasedStateMachine):
    """The service beside its model."""

    make_cloud: Callable[[], Cloud]
    volumes: Bundle[Known] = Bundle("volumes")
    snapshots: Bundle[Known] = Bundle("snapshots")

    def __init__(self) -> None:
        super().__init__()
        self.cloud = type(self).make_cloud()
        self.cloud.service.start()
        self.known: list[Known] = []

    def teardown(self) -> None:
        """End the service."""
        self.cloud.service.close()
        self.cloud.close()

    @rule(target=volumes, size=st.integers(1, 3), fails=FAILS, meanwhile=MEANWHILE)
    def create(self, size: int, fails: bool, meanwhile: str) -> Known:
        record = self.cloud.volume(size=self._bought(volumes=1, gigabytes=size)["gigabytes"])
        one = self._know(Known(record, "error" if fails else "available", size, not fails))
        self._do("create_volume", fails, meanwhile, volume=record)
        return one

    @rule(target=volumes, source=volumes, fails=FAILS, meanwhile=MEANWHILE)
    def clone(self, source: Known, fails: bool, meanwhile: str) -> Any:
        if source.status != "available":
            return multiple()
        self._bought(volumes=1, gigabytes=source.size)
        record = self.cloud.volume(size=source.size, source_volid=source.record.id)
        one = self._know(Known(record, "error" if fails else "available", source.size, not fails))
        self._do("create_cloned_volume", fails, meanwhile, "create_volume", volume=record)
        return one

    @rule(target=snapshots, source=volumes, fails=FAILS, meanwhile=MEANWHILE)
    def snapshot(self, source: Known, fails: bool, meanwhile: str) -> Any:
        if source.status != "available":
            return multiple()
        self._bought(snapshots=1, gigabytes=source.size)
        record = self.cloud.snapshot(source.record, volume_size=source.size)
        status = "error" if fails else "available"
        one = self._know(Known(record, status, source.size, not fails, source))
        self._do("create_snapshot", fails, meanwhile, snapshot=record)
        return one

    @rule(one=volumes, fails=FAILS, meanwhile=MEANWHILE)
    def extend(self, one: Known, fails: bool, meanwhile: str) -> None:
        if one.status != "available":
            return
        held = self.cloud.records.quotas.reserve(PROJECT, {"gigabytes": 1})
        self.cloud.records.volumes.update(one.record.id, status="extending")
        args = {"new_size": one.size + 1, "reservations": held}
        if fails:
            one.status = "error_extending"
        else:
            one.size += 1
        self._do("extend_volume", fails, meanwhile, volume=one.record, **args)

    @rule(one=consumes(snapshots), meanwhile=MEANWHILE)
    def delete_snapshot(self, one: Known, meanwhile: str) -> None:
        self._gone(one, self.cloud.records.snapshots)
        self._do("delete_snapshot", False, meanwhile, snapshot=one.record)

    @rule(one=volumes, meanwhile=MEANWHILE)
    def delete(self, one: Known, meanwhile: str) -> None:
        used = any(k.source is one and k.status != "gone" for k in self.known)
        if one.status == "gone" or used:
            return
        self._gone(one, self.cloud.records.volumes)
        self._do("delete_volume", False, meanwhile, volume=one.record)

    @invariant()
    def rows_are_as_they_should_be(self) -> None:
        for one in self.known:
            assert self.cloud.status(one.record) == one.status, one
            if one.status != "gone" and one.record.kind == "volume":
                assert self.cloud.records.volumes.get(one.record.id).size == one.size

    @invariant()
    def the_backend_holds_what_it_should(self) -> None:
        assert self.cloud.script.objects() == {k.record.name for k in self.known if k.exists}

    @invariant()
    def the_quota_counts_what_there_is(self) -> None:
        live = [k for k in self.known if k.status != "gone"]
        kinds = [k.record.kind for k in live]
        wanted = {
            "volumes": kinds.count("volume"),
            "snapshots": kinds.count("snapshot"),
            "gigabytes": sum(k.size for k in live),
        }
        usages = sa.select(models.quota_usages)
        for row in self.cloud.database.read(lambda c: c.execute(usages).all()):
            if row.resource in wanted:
                assert (row.in_use, row.reserved) == (wanted[row.resource], 0), row.resource

    @invariant()
    def the_journal_has_nothing_open(self) -> None:
        if self.known:
            states = {entry.state for entry in self.cloud.entries()}
            assert states <= {"SUCCESS", "REVERTED"}, states

    def _bought(self, **amounts: int) -> dict[str, int]:
        quotas = self.cloud.records.quotas
        quotas.commit(quotas.reserve(PROJECT, amounts))
        return amounts

    def _know(self, one: Known) -> Known:
        self.known.append(one)
        return one

    def _gone(self, one: Known, rows: Any) -> None:
        rows.update(one.record.id, status="deleting")
        one.status, one.exists = "gone", False

    def _do(self, call: str, fails: bool, meanwhile: str, method: str = "", /, **args: Any) -> None:
        """Cast, have something happen meanwhile, and wait for the end."""
        gate = self.cloud.script.directory / f"gate-{next(_numbers)}"
        plan: dict[str, Any] = {"raise": "VolumeBackendAPIException"} if fails else {}
        if meanwhile == "kill inside":
            plan["wait_for"] = str(gate)
        self.cloud.script.plan(**({call: plan} if plan else {}))
        asked = len(self.cloud.script.calls(call))
        known = len(self.cloud.entries())
        self.cloud.cast(method or call, **args)
        if meanwhile == "kill inside":
            until(lambda: len(self.cloud.script.calls(call)) > asked, 60, f"{call} to begin")
        if meanwhile.startswith("kill"):
            self.cloud.service.kill()
        elif meanwhile == "stop":
            assert self.cloud.service.process is not None
            self.cloud.service.process.stop(signal.SIGTERM)
        gate.touch()
        if meanwhile != "nothing":
            self.cloud.service.start()
        until(lambda: len(self.cloud.entries()) > known, 60, f"{call} to be accepted")
        self.cloud.wait_idle()


@pytest.mark.timeout(900)
@pytest.mark.lasts(40)
def test_the_service_agrees_with_its_model(
    servers: Servers, broker: Broker, full: bool, forked: bool
) -> None:
    require(Broker)
    with contextlib.ExitStack() as stack:

        def make_cloud() -> Cloud:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hfm-")))

            def service(**options: Any) -> Service:
                return Service(folder / "service", forked=forked, **options)

            url = f"sqlite:///{folder / 'cinder.sqlite'}"
            return Cloud(service, broker.vhost(), url, folder)

        kind = type("Seeded", (Model,), {"make_cloud": staticmethod(make_cloud)})
        run_state_machine_as_test(
            kind,
            settings=settings(
                max_examples=30 if full else 3,
                stateful_step_count=25 if full else 12,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
                print_blob=True,
                derandomize=False,
            ),
        )
