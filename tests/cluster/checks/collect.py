# SPDX-License-Identifier: Apache-2.0
"""Collect the evidence of a run: history, rows, journal, objects, queues."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.cluster.backend import history
from tests.cluster.checks.evidence import Evidence, Journalled, Struck
from tests.cluster.load.cloud import ClusterCloud
from tests.cluster.load.ledger import Ledger
from tests.cluster.rig.setting import nodes
from tests.cluster.rig.world import World


def collect(world: World, ledger: Ledger, faults: Sequence[Struck]) -> Evidence:
    """Return everything that the run has left so far."""
    cloud = world.cloud
    open_ = ledger.open()
    return Evidence(
        lines=history.read(world.history),
        entries=ledger.entries(),
        journal=_journal(cloud),
        rows={kind: cloud.living(kind) for kind in ("volume", "snapshot", "backup")},
        objects=frozenset(
            [*_names(world.shared / "volumes"), *_names(world.shared / "connections")]
        ),
        backups=frozenset(_files(world.shared / "backups")),
        waiting=_waiting(world) if open_ else 0,
        workers=[str(row["resource_id"]) for row in cloud.workers()],
        tracks={
            path.name: path.read_text().splitlines()
            for path in (world.shared / "effects").iterdir()
        },
        faults=list(faults),
    )


def _journal(cloud: ClusterCloud) -> list[Journalled]:
    return [
        Journalled(
            flow=one.flow,
            request=one.request_id or "",
            method=one.method,
            resource=one.resource,
            state=one.state,
            slot=one.slot,
        )
        for one in cloud.entries()
    ]


def _names(directory: Path) -> list[str]:
    if not directory.is_dir():
        return []
    return [path.name for path in directory.iterdir() if not path.name.startswith(".")]


def _files(directory: Path) -> list[str]:
    return [
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    ]


def _waiting(world: World) -> int:
    """Return how many messages wait for volume and backup services."""
    name = world.cloud.bus.rpartition("/")[2]
    (node, *_) = nodes(world.setting.broker)
    listed = node.ctl("list_queues", "-p", name, "--no-table-headers", "name", "messages")
    waiting = 0
    for line in listed.splitlines():
        queue, _, count = line.partition("\t")
        if queue.startswith(("cinder-volume", "cinder-backup")) and "fanout" not in queue:
            waiting += int(count or 0)
    return waiting
