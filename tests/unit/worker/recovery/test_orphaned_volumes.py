# SPDX-License-Identifier: Apache-2.0
"""When orphaned operations of a backend are ended, after a start."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable

import pytest

from tests.unit.flows.world.orphans import HOST, WHO, Left
from worker.db.criteria import BackendRows
from worker.recovery.orphaned_volumes import OrphanedVolumes
from worker.recovery.queue_proof import Unproven


class Runs:
    """Counts the runs of submitted operations."""

    def __init__(self) -> None:
        self.started = 0

    def start_submitted(self) -> None:
        self.started += 1


class Proof:
    """A proof that a test gives, after a check."""

    def __init__(self) -> None:
        self.proven = True
        self.meanwhile: Callable[[], object] = lambda: None
        self.ready = 0
        self.alive = -1
        self.counted = -1
        self.hosts: set[str] = set()

    def until_proven(
        self, _grace: float, left: Callable[[], int], check: Callable[[], None]
    ) -> bool:
        self.counted = left()
        self.meanwhile()
        check()
        return self.proven

    def registered(self) -> set[str]:
        return self.hosts

    def require_empty(self, queue: str, alive: int) -> None:
        assert queue == "cinder-scheduler"
        self.alive = alive
        if self.ready:
            raise Unproven("messages wait")


@pytest.fixture
def slots() -> Runs:
    return Runs()


@pytest.fixture
def proof() -> Proof:
    return Proof()


@pytest.fixture
def orphans(left: Left, slots: Runs, proof: Proof) -> OrphanedVolumes:
    stopping = threading.Event()
    return OrphanedVolumes(left.records, BackendRows(HOST), left.context, slots, proof, stopping)  # type: ignore[arg-type]


def test_they_are_ended_when_no_cast_can_wait(left: Left, orphans: OrphanedVolumes) -> None:
    volume = left.volume("extending")
    orphans.settle(left.read())

    assert left.status(volume) == "error_extending"


def test_without_a_proof_they_are_left_and_listed(
    left: Left, proof: Proof, orphans: OrphanedVolumes
) -> None:
    proof.proven = False
    volumes = [left.volume("extending"), left.volume("deleting")]
    left.operations.known = {volumes[1]}
    orphans.settle(left.read())

    assert [left.status(volume) for volume in volumes] == ["extending", "deleting"]
    assert [row.id for row in orphans.left()] == [volumes[0]]
    assert proof.counted == 1


def test_no_proof_is_made_where_nothing_is_left(
    left: Left, proof: Proof, orphans: OrphanedVolumes
) -> None:
    left.volume("available")
    orphans.settle(left.read())

    assert proof.counted == -1


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_a_scheduler_is_up_when_it_writes_heartbeats_by_whatever_clock(
    left: Left, orphans: OrphanedVolumes, proof: Proof, hours: int
) -> None:
    who = {**WHO, "host": "s1", "binary": "cinder-scheduler"}
    row = left.records.services.ensure(**who)
    written = row.updated_at + datetime.timedelta(hours=hours)
    left.records.services.update(row.id, updated_at=written)
    beat = {"report_count": 8, "updated_at": written + datetime.timedelta(seconds=10)}
    volume = left.volume("extending")
    settled = threading.Event()
    orphans.settle = lambda as_read: (settle(as_read), settled.set())  # type: ignore
    settle = OrphanedVolumes.settle.__get__(orphans)
    proof.meanwhile = lambda: left.records.services.update(row.id, **beat)
    orphans.start()
    assert settled.wait(30)

    assert left.status(volume) == "error_extending"
    assert proof.alive == 1


def test_a_scheduler_without_a_heartbeat_since_the_start_does_not_count(
    left: Left, orphans: OrphanedVolumes, proof: Proof
) -> None:
    who = {**WHO, "binary": "cinder-scheduler"}
    rows = [left.records.services.ensure(**{**who, "host": f"s{n}"}) for n in range(3)]
    left.volume("extending")
    as_read = orphans._read()
    assert as_read
    for row in rows[1:]:
        left.records.services.update(row.id, report_count=8)
    orphans.settle(as_read)

    assert proof.alive == 2


@pytest.mark.parametrize("why", ["no heartbeat", "messages"])
def test_a_scheduler_may_have_messages(
    left: Left, orphans: OrphanedVolumes, proof: Proof, why: str
) -> None:
    volume = left.volume("extending")
    if why == "messages":
        proof.ready = 3
    else:
        left.records.services.ensure(**{**WHO, "host": "s1", "binary": "cinder-scheduler"})
        orphans._read()
    with pytest.raises(Unproven):
        orphans.settle(left.read())

    assert left.status(volume) == "extending"


@pytest.mark.parametrize(
    ("lives", "registered", "ends"),
    [(True, False, False), (True, True, True), (False, False, True)],
    ids=["a host of Cinder", "a host of the journal", "a dead host"],
)
def test_a_host_of_the_cluster_may_be_working(
    left: Left, slots: Runs, proof: Proof, lives: bool, registered: bool, ends: bool
) -> None:
    backend, stopping = BackendRows(HOST, "c@backend"), threading.Event()
    orphans = OrphanedVolumes(left.records, backend, left.context, slots, proof, stopping)  # type: ignore[arg-type]
    for host in (HOST, "other@backend"):
        left.records.services.ensure(**{**WHO, "host": host}, cluster=backend.cluster)
    other = left.records.services.serving("other@backend")
    assert other is not None
    volume = left.volume("extending", cluster_name="c@backend#pool")
    as_read = orphans._read()
    assert as_read is not None
    if lives:
        left.records.services.update(other.id, report_count=8)
    proof.hosts = {HOST, "other@backend"} if registered else {HOST}
    if ends:
        orphans.settle(left.read())
    else:
        with pytest.raises(Unproven, match="other@backend of cluster c@backend lives"):
            orphans.settle(left.read())

    assert left.status(volume) == ("error_extending" if ends else "extending")


def test_a_row_that_changed_after_the_start_stays(left: Left, orphans: OrphanedVolumes) -> None:
    at_the_start = left.read()
    volume = left.volume("extending")
    orphans.settle(at_the_start)

    assert left.status(volume) == "extending"


def test_operations_in_work_rows_are_ended_first(left: Left, orphans: OrphanedVolumes) -> None:
    volume = left.volume("creating", left.ours)
    orphans.clean_up()

    assert left.status(volume) == "error"


def test_submitted_deletions_run_after_the_clean_up(
    left: Left, slots: Runs, orphans: OrphanedVolumes
) -> None:
    volume = left.volume("deleting", left.ours)
    orphans.clean_up()

    assert left.operations.deleted == [volume]
    assert slots.started == 1


def test_rows_that_change_during_the_clean_up_are_not_orphaned(
    left: Left, orphans: OrphanedVolumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[object] = []
    settle = threading.Event()

    def note(as_read: object) -> None:
        settled.append(as_read)
        settle.set()

    # The clean-up lasts as long as an outage.
    monkeypatch.setattr(orphans, "clean_up", lambda: left.volume("extending"))
    monkeypatch.setattr(orphans, "settle", note)
    orphans.start()
    assert settle.wait(10)

    assert settled == [{}]
