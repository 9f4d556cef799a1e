# SPDX-License-Identifier: Apache-2.0
"""End the operations that a former service of this backend, or a lost message, has orphaned.

At the start, the operations in the service's work rows are ended by Cinder's own rules. A
resource without a work row may still have a message on the bus: so the rest is ended when it
is proven that no such message waits, here or at a scheduler (:mod:`worker.recovery.proof_wait`).

Of a cluster, the proof includes its queue, which the other hosts consume, and the journal that they
share has their operations. A host that lives and whose consumers this journal does not have, such
as one of Cinder, may be working on anything: then nothing is ended.

Source: spec/volume-rpc §8.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from drivers.interface.records import Record
from flows.context import HostContext
from flows.engine import flow_run
from flows.errors import RunInterrupted, Unavailable
from flows.factories import Factory
from flows.host import cleanup, orphaned
from worker.db.criteria import BackendRows
from worker.db.records import Records
from worker.recovery.proof_wait import ProofWait
from worker.recovery.queue_proof import Unproven
from worker.rpc import topics

LOG = logging.getLogger(__name__)

GRACE = 60.0
"""Seconds in which senders that had lost the message bus send the casts that they hold."""

PAUSE = 5.0
"""Seconds between two attempts to read the rows."""

_EVERYTHING = {"service_id": None, "resource_type": None, "resource_id": None, "until": None}


class Operations(Protocol):
    """The operations of this process."""

    def start_submitted(self) -> None:
        """Run the operations that flows have submitted."""


class OrphanedVolumes:
    """Ends orphaned operations once, after each start.

    :param backend: the names of the backend.
    :param context: makes the context of a flow.
    :param proof: waits until no cast can wait.
    """

    def __init__(
        self,
        records: Records,
        backend: BackendRows,
        context: Callable[[], HostContext],
        operations: Operations,
        proof: ProofWait,
        stopping: threading.Event,
    ) -> None:
        self._records = records
        self._host = backend.host
        self._cluster = backend.cluster
        self._context = context
        self._operations = operations
        self._proof = proof
        self._stopping = stopping
        self._beats: dict[int, Any] = {}

    def clean_up(self) -> None:
        """End the operations of this service's work rows."""
        self._run(cleanup.flow, **_EVERYTHING)

    def start(self) -> None:
        """Clean up, and end the rest on a thread of its own, when no cast can wait."""
        # Before the clean-up, which may wait for an outage: rows that change from now on
        # have an operation.
        as_read = self._read()
        self.clean_up()
        threading.Thread(
            target=self._settle, args=(as_read,), name="orphaned-volumes", daemon=True
        ).start()

    def settle(self, as_read: Mapping[str, str]) -> None:
        """Wait until no cast can wait, then end the rest.

        :param as_read: the rows at the start; those that have changed are not orphaned.
        """
        if not as_read:
            return
        if self._proof.until_proven(GRACE, lambda: len(self.left()), self._check_others):
            self._run(orphaned.flow, as_read=dict(as_read))

    def left(self) -> list[Record]:
        """Return the resources in transient statuses that no unfinished operation names."""
        context = self._context()
        return orphaned.unknown(context.host, context.operations.in_progress())

    def _settle(self, as_read: Mapping[str, str] | None) -> None:
        try:
            while as_read is None:
                if self._stopping.wait(PAUSE):
                    return
                as_read = self._read()
            self.settle(as_read)
        except Exception:
            LOG.exception("not all orphaned operations of %s were ended", self._host)

    def _read(self) -> dict[str, str] | None:
        """Return the rows in transient statuses; None while the database is away."""
        context = self._context()
        try:
            self._beats = self._read_beats()
            return orphaned.read(context.host, context.service)
        except Unavailable as error:
            LOG.info("orphaned operations of %s have to wait: %s", self._host, error)
            return None

    def _read_beats(self) -> dict[int, Any]:
        """Return the state of the heartbeats of other services; their clocks may be wrong."""
        return {row.id: _beat(row) for row in (*self._schedulers(), *self._members())}

    def _schedulers(self) -> Sequence[Record]:
        return self._records.services.list(binary="cinder-scheduler")

    def _members(self) -> Sequence[Record]:
        """Return the other hosts of the cluster."""
        if self._cluster is None:
            return []
        found = self._records.services.list(binary=topics.TOPIC, cluster_name=self._cluster)
        return [row for row in found if row.host != self._host]

    def _check_others(self) -> None:
        """Check that no message waits for a scheduler, and that the journal has all hosts.

        :raises Unproven: a scheduler may have messages of before the start, or a host of the
            cluster may have operations that are not in the journal.
        """
        try:
            schedulers, members = self._schedulers(), self._members()
        except Unavailable as error:
            raise Unproven("the database does not answer") from error
        alive = sum(map(self._has_beaten, schedulers))
        if schedulers and not alive:
            raise Unproven("no scheduler has written a heartbeat since the start")
        living = {row.host for row in members if self._has_beaten(row)}
        if strange := sorted(living - self._proof.registered() if living else living):
            text = "lives, and its consumers are not in this journal: it may be a host of Cinder"
            raise Unproven(f"{strange[0]} of cluster {self._cluster} {text}")
        self._proof.require_empty(topics.SCHEDULER_TOPIC, alive)

    def _has_beaten(self, service: Record) -> bool:
        """Return whether a service has written a heartbeat since the start."""
        return self._beats.get(service.id) != _beat(service)

    def _run(self, factory: Factory, **args: Any) -> None:
        try:
            outcome = flow_run.run_in_memory(factory, args, self._context())
        except RunInterrupted:
            LOG.info("orphaned operations of %s are ended after the next start", self._host)
            return
        finally:
            self._operations.start_submitted()
        if outcome.failure is not None:
            reason = outcome.failure.exception_str
            LOG.error("not all orphaned operations of %s were ended: %s", self._host, reason)


def _beat(service: Record) -> tuple[Any, Any]:
    return service.report_count, service.updated_at
