# SPDX-License-Identifier: Apache-2.0
"""The state of a run at its end, from which it is judged, and the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.backend.history import Line
from tests.cluster.load.ledger import Entry

KINDS = ("lost", "stuck", "leaked", "overlaps", "stale_writes", "done_twice")
"""Kinds of findings, as the result names them."""


@dataclass(frozen=True)
class Finding:
    """One violation."""

    kind: str
    text: str


@dataclass(frozen=True)
class Struck:
    """One fault, and the hosts that it struck.

    :param began: by the machine's monotonic clock.
    :param counted: whether it was meant for these hosts; else it struck other hosts as well, and
        counts there.
    """

    kind: str
    hosts: tuple[str, ...]
    began: float
    ended: float = 0.0
    orderly: bool = False
    counted: bool = True


@dataclass(frozen=True)
class Journalled:
    """One entry of the journal."""

    flow: str
    request: str
    method: str
    resource: str
    state: str
    slot: str = ""

    @property
    def ended(self) -> bool:
        """Whether it does not run any more."""
        return self.state in ("SUCCESS", "REVERTED", "FAILURE")


@dataclass(frozen=True)
class Evidence:
    """All that a run has left.

    :param lines: the history of the backend.
    :param entries: the ledger.
    :param journal: the journal's entries.
    :param rows: for each kind of resource, the rows by id.
    :param objects: names of the volumes and snapshots on the backend.
    :param backups: names of the objects in the store of backups.
    :param waiting: how many messages wait in queues.
    :param workers: ids of resources with a row of work.
    :param tracks: the lines that processes have left on each object.
    :param faults: those that struck.
    """

    lines: Sequence[Line] = ()
    entries: Sequence[Entry] = ()
    journal: Sequence[Journalled] = ()
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    objects: frozenset[str] = frozenset()
    backups: frozenset[str] = frozenset()
    waiting: int = 0
    workers: Sequence[str] = ()
    tracks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    faults: Sequence[Struck] = ()

    def row(self, kind: str, id_: str) -> Mapping[str, Any] | None:
        """Return a row, None if it is not there."""
        return self.rows.get(kind, {}).get(id_)
