# SPDX-License-Identifier: Apache-2.0
"""Find the resource, flow or request that an id, or its beginning, belongs to."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from oslo_config import cfg

from worker.db.records import Records
from worker.db.records.stored_rows import KINDS
from worker.journal.entries.insertions import flow_id
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.journal import Journal

FLOW, REQUEST = "flow", "request"

_NEWEST = 10_000
"""How many of the newest entries of the journal are searched."""

_MOST = 11
"""Ids of each kind that begin as wanted; an error lists ten."""

_REQUEST_PREFIX = "req-"


@dataclass(frozen=True)
class Subject:
    """The thing that is explained.

    :param kind: of a resource; or ``flow``, or ``request``.
    """

    kind: str
    id: str


class Stores:
    """The stores that an explanation is read from.

    :param records: None where the database cannot be read.
    :param journal: None where it cannot be read here.
    :param gaps: why something is missing, one sentence each.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        records: Records | None,
        journal: Journal | None,
        gaps: tuple[str, ...] = (),
    ) -> None:
        self.conf = conf
        self.records = records
        self.journal = journal
        self.gaps = gaps

    @functools.cached_property
    def entries(self) -> list[JournalEntry]:
        """The newest entries of the journal."""
        return [] if self.journal is None else self.journal.entries(limit=_NEWEST)

    @functools.cached_property
    def rejected(self) -> list[JournalEntry]:
        """The newest messages that were put aside."""
        return [] if self.journal is None else self.journal.entries(rejected=True, limit=_NEWEST)


def matches(stores: Stores, wanted: str) -> Iterator[Subject]:
    """Yield the subjects whose id begins as wanted; one of the wanted id itself comes first.

    A message of the bus is the flow that it became; a message for users is its resource.
    """
    yield from _resources(stores, wanted)
    for entry in (*stores.entries, *stores.rejected):
        if entry.flow.startswith(wanted) or entry.flow == flow_id(wanted):
            # The id of a message is another one than that of its flow, which stands for it.
            yield Subject(FLOW, entry.flow)
        for request_id in _request_ids(entry):
            if request_id.startswith((wanted, f"{_REQUEST_PREFIX}{wanted}")):
                yield Subject(REQUEST, request_id)
    for entry in stores.entries:  # of rows that were purged
        kind, _space, resource_id = entry.resource.partition(" ")
        if resource_id.startswith(wanted):
            yield Subject(kind, resource_id)


def _resources(stores: Stores, wanted: str) -> Iterator[Subject]:
    if (records := stores.records) is None:
        return
    for kind in KINDS:
        for found in records.stored.beginning(kind, wanted, _MOST):
            yield Subject(kind, found)
    if (message := records.stored.message(wanted)) is not None:
        kind = str(message.resource_type or "").lower().removeprefix("volume_")
        yield Subject(kind, str(message.resource_uuid))
    if wanted.startswith(_REQUEST_PREFIX) and records.stored.messages(request_ids=[wanted]):
        yield Subject(REQUEST, wanted)


def _request_ids(entry: JournalEntry) -> list[str]:
    return [entry.request_id] if entry.request_id else []
