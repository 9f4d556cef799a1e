# SPDX-License-Identifier: Apache-2.0
"""Restarts in order undo nothing, and kills undo nothing that makes progress."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.interface.records import Record
from tests.faults.processes.conftest import Clouds
from tests.faults.processes.gated import GATE
from tests.functional.backups.backup_cloud import BackupCloud
from tests.functional.backups.conftest import running, shown
from tests.functional.service import Service
from tests.servers import Broker, until
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.journal import Journal

pytestmark = [
    pytest.mark.timeout(1800),  # ten starts of two services take long on a busy machine
    pytest.mark.lasts(30),
]

LOG = logging.getLogger(__name__)

FEW, MANY = 3, 10
"""Restarts, or kills, in plain and in full runs; the second one that counted would fail all."""

DRIVER = "tests.faults.processes.gated.GatedDriver"
SLOW = {"backup_bandwidth_limit": 4, "backup_file_size": 2**20, "backup_transfers": 1}
"""Backups and restores of some seconds, in objects of a MiB."""


@pytest.fixture
def cloud(broker: Broker, tmp_path: Path) -> Iterator[BackupCloud]:
    """Two services with a short grace, which give up after the first death that counts twice."""
    sections = {"journal": {"max_resumes": 1}}
    options = {**SLOW, "graceful_shutdown_timeout": 1}
    volume_sections = {**sections, "DEFAULT": {"graceful_shutdown_timeout": 1}}
    backend = {"volume_driver": DRIVER}
    with running(broker, tmp_path, backend, sections, volume_sections, **options) as made:
        yield from shown(made)


def entries(service: Service) -> list[JournalEntry]:
    """Return the entries of a service's journal."""
    journal = Journal(f"sqlite:///{service.directory}/state/journal.sqlite")
    try:
        return journal.entries()
    finally:
        journal.close()


def undone(cloud: BackupCloud) -> list[JournalEntry]:
    """Return the operations that failed."""
    both = (cloud.service, cloud.backup_service)
    return [e for one in both for e in entries(one) if e.state in ("REVERTED", "FAILURE")]


def restart(*services: Service, hurried: bool = False) -> None:
    """Stop services in order, all at once, and start them again.

    :param hurried: send SIGTERM twice.
    """
    for service in services:
        assert service.process is not None
        after = service.position()
        service.process.send(signal.SIGTERM)
        if hurried:
            service.wait_for_log("its operations have", after=after)
            service.process.send(signal.SIGTERM)
    for service in services:
        assert service.process is not None
        assert service.process.wait(60) == 0
    for service in services:
        service.launch()
    for service in services:
        service.wait_for_notice("READY=1")


def saved(service: Service) -> float:
    """Return the part of a running backup whose checkpoint the journal knows, from 0 to 1."""
    journal = Journal(f"sqlite:///{service.directory}/state/journal.sqlite")
    try:
        flows = [entry.flow for entry in journal.entries() if entry.method == "continue_backup"]
        atoms = [atom for flow in flows for atom in journal.load(flow)]
        return max((float(atom.meta.get("saved", 0.0)) for atom in atoms), default=0.0)
    finally:
        journal.close()


def data(cloud: BackupCloud, seed: int, places: int) -> Record:
    """Return a volume with about half a MiB of data at each place."""
    volume = cloud.filled(seed)
    cloud.scribble(volume, seed, places)
    return volume


def test_orderly_restarts_fail_no_operation(cloud: BackupCloud, tmp_path: Path, full: bool) -> None:
    volume, target, extended = data(cloud, 1, 20), cloud.filled(2), cloud.filled(3)
    old = cloud.made(volume)
    cloud.records.volumes.update(extended.id, status="extending")
    cloud.cast("extend_volume", volume=extended, new_size=2, reservations=[])
    backup = cloud.begin(volume)
    cloud.restore(old, target)
    until(lambda: len(entries(cloud.backup_service)) >= 4, 60, "backup and restore to begin")
    for number in range(MANY if full else FEW):
        after = cloud.service.position()
        restart(cloud.service, cloud.backup_service, hurried=bool(number % 2))
        cloud.service.wait_for_log("extend_volume of volume .* resumed", after=after)
    (tmp_path / GATE).touch()

    for resource in (extended, backup, old, target, volume):
        cloud.wait_status(resource, "available")
    assert cloud.records.volumes.get(extended.id).size == 2
    assert cloud.same(volume, target)
    assert undone(cloud) == []
    assert {entry.resumes for entry in entries(cloud.service)} == {0}


def test_a_backup_that_is_killed_after_each_checkpoint_completes(
    cloud: BackupCloud, full: bool
) -> None:
    volume, service = data(cloud, 1, 60 if full else 24), cloud.backup_service
    backup = cloud.begin(volume)
    for _ in range(MANY if full else FEW):
        before = saved(service)
        until(
            lambda: saved(service) > before or cloud.status(backup) != "creating",  # noqa: B023
            60,
            "another checkpoint",
        )
        service.kill()
        service.start()

    cloud.wait_status(backup, "available")
    target = cloud.filled(2)
    cloud.restore(backup, target)
    cloud.wait_status(target, "available")
    assert cloud.same(volume, target)
    assert undone(cloud) == []


def test_one_cause_of_crashes_among_forty_fails_alone(make_cloud: Clouds) -> None:
    cloud = make_cloud(2, 0.5)
    volumes = [cloud.volume() for _ in range(40)]
    culprit, *others = volumes[::-1]
    cloud.script.plan(create_volume={"exit": True, "only": culprit.id})
    cloud.service.start()
    for volume in volumes:
        cloud.cast("create_volume", volume=volume)

    for volume in others:
        until(lambda: cloud.status(volume) == "available", 120, "the others")  # noqa: B023
    until(lambda: cloud.status(culprit) == "error", 120, "the end of the culprit")
    cloud.wait_idle()
    crashes = [c for c in cloud.script.calls("create_volume") if c["id"] == culprit.id]
    # All together twice, then in groups of 10, 3 and 1; alone until max_resumes is exceeded.
    assert len(crashes) <= 6
    states = {entry.resource: entry.state for entry in cloud.entries()}
    assert [name for name, state in states.items() if state != "SUCCESS"] == [
        f"volume {culprit.id}"
    ]


class Load:
    """Operations of all kinds, and the ends that they must have."""

    def __init__(self, cloud: BackupCloud) -> None:
        self._cloud = cloud
        self._source = data(cloud, 1, 8)
        self._old = cloud.made(self._source)
        self._expected: list[tuple[Record, str]] = []
        self._restored: list[Record] = []
        self._extended: list[Record] = []

    def begin(self) -> None:
        """Begin one operation of each kind."""
        cloud, status = self._cloud, self._cloud.records.volumes.update
        created = cloud.volume()
        cloud.cast("create_volume", volume=created)
        extended, deleted, target = (cloud.existing() for _ in range(3))
        status(extended.id, status="extending")
        cloud.cast("extend_volume", volume=extended, new_size=2, reservations=[])
        snapshot = cloud.snapshot(self._source)
        cloud.cast("create_snapshot", snapshot=snapshot)
        status(deleted.id, status="deleting")
        cloud.cast("delete_volume", volume=deleted)
        self._expected += [(one, "available") for one in (created, extended, snapshot)]
        self._expected.append((deleted, "gone"))
        self._extended.append(extended)
        if cloud.status(self._source) == "available":
            self._expected.append((cloud.begin(self._source), "available"))
        if cloud.status(self._old) == "available":
            cloud.restore(self._old, target)
            self._expected.append((target, "available"))
            self._restored.append(target)

    def check(self) -> None:
        """Wait for all ends, and compare the data."""
        cloud = self._cloud
        for resource, wanted in self._expected:
            until(lambda: cloud.status(resource) == wanted, 300, f"{resource.id} {wanted}")  # noqa: B023
        for one in (self._source, self._old):
            cloud.wait_status(one, "available")
        assert all(cloud.records.volumes.get(one.id).size == 2 for one in self._extended)
        backups = [one for one, _ in self._expected if one.kind == "backup"]
        for backup in backups[-3:]:
            target = cloud.existing()
            cloud.restore(backup, target)
            cloud.wait_status(target, "available")
            self._restored.append(target)
        assert all(cloud.same(self._source, target) for target in self._restored)
        counts = (len(self._expected), len(backups), len(self._restored))
        LOG.info("%d operations, %d backups; %d restores compared", *counts)


def test_restarts_every_three_seconds_under_mixed_load(
    cloud: BackupCloud, tmp_path: Path, full: bool, request: pytest.FixtureRequest
) -> None:
    seconds = request.config.getoption("restart_seconds") or (600 if full else 10)
    load, end, count = Load(cloud), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        began = time.monotonic()
        load.begin()
        until(lambda: time.monotonic() - began >= 3, 10, "the next restart")  # noqa: B023
        restart(cloud.service, cloud.backup_service, hurried=bool(count % 2))
        count += 1
        assert undone(cloud) == []
    (tmp_path / GATE).touch()

    load.check()
    LOG.info("%d restarts in %.0f s", count, seconds)
    assert undone(cloud) == []
