# SPDX-License-Identifier: Apache-2.0
"""Ownership of slots: the names under which processes own flows in the journal.

Each flow has one owner. A second process of the same slot waits until the first one exits;
slots that no configured process has any more are adopted by the first process.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Collection

from flows.errors import ProcessStopping
from worker.journal.journal import Journal
from worker.locks import Locks

LOG = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds between two attempts to become the owner of a slot."""


def hold(locks: Locks, slot: str, stopping: threading.Event) -> None:
    """Become the owner of a slot, for the life of the process.

    :raises ProcessStopping: the process stops before the present owner exits.
    """
    logged = False
    while not locks.try_hold(_lock_of(slot)):
        if not logged:
            LOG.warning("another process still serves %s; waiting for its end", slot)
            logged = True
        if stopping.wait(PAUSE):
            raise ProcessStopping(f"another process still serves {slot}")


def prove_dead(locks: Locks, slot: str) -> bool:
    """Take the lock file of a slot of this host; return whether its owner has ended."""
    return locks.try_hold(_lock_of(slot))


def adopt(journal: Journal, locks: Locks, host: str, slot: str, served: Collection[str]) -> None:
    """Take over the flows of the host's slots that no process has any more.

    :param slot: the new owner.
    :param served: the slots of the configured processes.
    """
    unfinished = set(journal.slots.with_unfinished(f"{host}/"))
    consuming = set(journal.consumers.slots(f"{host}/"))
    if (table := journal.slots.table) is not None:
        # Their leases, or the end of their owners, decide: see worker.service.leases.
        served = {*served, *(one.slot for one in table.every())}
    for orphaned in sorted((unfinished | consuming) - set(served)):
        if not locks.try_hold(_lock_of(orphaned)):
            continue
        journal.consumers.forget(orphaned)
        if orphaned in unfinished:
            journal.slots.adopt(orphaned, slot)
            LOG.info("%s takes over the operations of %s", slot, orphaned)


def _lock_of(slot: str) -> str:
    return "slot-" + uuid.uuid5(uuid.NAMESPACE_URL, slot).hex
