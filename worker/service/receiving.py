# SPDX-License-Identifier: Apache-2.0
"""Build the parts of a service that receive messages, and that look for those that wait."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import oslo_messaging

from worker.compat import oslo_messaging as compat
from worker.execution.intake import Intake
from worker.execution.pools.operation_pool import OperationPool
from worker.execution.rejections.rejected import RejectedMessages
from worker.recovery.proof_wait import ProofWait
from worker.recovery.queue_proof import QueueProof
from worker.recovery.unserved_queues import UnservedQueues
from worker.rpc import topics
from worker.rpc.dispatch import Dispatcher
from worker.rpc.markers import MarkedMessages, Markers, consumed
from worker.rpc.received.deliveries import Deliveries
from worker.rpc.received.shared_queue import SharedQueue
from worker.rpc.server import PREFETCH_UNDER_LOAD, Server
from worker.rpc.transport import fetched_ahead
from worker.service.parts import Infrastructure

SHARED_PREFETCH = 8
"""Part of the threads for operations, as a divisor: so many messages of a cluster's queue the
broker delivers ahead. Those that a slow host cannot begin are kept from the others meanwhile."""

DELIVERIES = "deliveries"
"""Directory in the state path with the notes of messages that ended a process."""


def make_intake(base: Infrastructure, dispatcher: Dispatcher, operations: OperationPool) -> Intake:
    """Build the intake of messages."""
    options = base.conf.journal
    rejected = RejectedMessages(base.slot_journal, lambda: options.keep_rejected)
    return Intake(dispatcher, base.slot_journal, operations, rejected, stopping=base.stopping)


def make_servers(
    base: Infrastructure, targets: Iterable[oslo_messaging.Target], intake: Intake
) -> tuple[Server, ...]:
    """Build a consumer for each target, and register it; none consumes before it is started."""
    consumers = base.journal.consumers
    marked = [(target, MarkedMessages(consumers.note)) for target in targets]
    registered = [(queue, one.name) for target, one in marked for queue in consumed(target)]
    base.journal_retry.until_available(
        lambda: consumers.register(base.identity.slot, registered),
    )
    deliveries = Deliveries(Path(base.conf.state_path) / DELIVERIES)
    deliveries.prepare()
    return tuple(
        Server(base.transport, target, intake, deliveries, one, **_sharing(base, target))
        for target, one in marked
    )


def _sharing(base: Infrastructure, target: oslo_messaging.Target) -> dict[str, Any]:
    """Return how many messages a server fetches, fewer where other hosts consume its queue."""
    if base.identity.cluster is None or target.topic != topics.cluster_topic(base.identity.cluster):
        return {"ahead": fetched_ahead(base.conf, PREFETCH_UNDER_LOAD)}
    prefetch = max(1, base.conf.executor_thread_pool_size // SHARED_PREFETCH)
    return {"shared": True, "others_serve": base.others_serve, "prefetch": prefetch}


def make_shared_queue(base: Infrastructure, servers: Iterable[Server]) -> SharedQueue | None:
    """Build the watch that leaves the queue of a cluster to other hosts; None without one."""
    if base.identity.cluster is None or not base.locks.expire:
        return None
    shared = [server for server in servers if server.is_shared]
    return SharedQueue(
        f"the queue of {base.identity.cluster}",
        lambda: base.locks.is_away,
        base.locks.ask,
        base.others_serve,
        lambda: [server.listening for server in shared if server.is_listening],
    )


def make_proof(base: Infrastructure, targets: Sequence[oslo_messaging.Target]) -> ProofWait:
    """Build the proof that no cast waits for this service."""
    proof = QueueProof(
        targets,
        base.journal.consumers,
        Markers(base.transport).send,
        functools.partial(compat.queue_depths, base.transport),
        base.stopping,
    )
    return ProofWait(proof, base.identity.host, base.stopping)


def make_unserved_queues(base: Infrastructure) -> UnservedQueues:
    """Build the search for casts that wait in the queues of dead hosts of a cluster."""
    depths = functools.partial(compat.queue_depths, base.transport)
    down_after = float(base.conf.service_down_time)
    return UnservedQueues(base.records, base.identity.backend_rows, depths, down_after)
