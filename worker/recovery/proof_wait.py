# SPDX-License-Identifier: Apache-2.0
"""Wait until it is proven that no cast waits for this service."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from flows import repeat
from flows.errors import ProcessStopping
from worker.recovery.queue_proof import Proven, QueueProof, Unproven

LOG = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds between two attempts, at first."""

PAUSE_MAX = 60.0
"""Longest pause between two attempts, in seconds."""


class ProofWait:
    """Waits for two proofs by the same consumers; they hold the queues all the time between.

    :param host: the service, for the log.
    """

    def __init__(self, proof: QueueProof, host: str, stopping: threading.Event) -> None:
        self._proof = proof
        self._host = host
        self._stopping = stopping

    def until_proven(
        self, grace: float, left: Callable[[], int], check: Callable[[], None] = lambda: None
    ) -> bool:
        """Wait; return False when the process stops.

        :param grace: seconds between the two proofs, in which senders that had lost the broker
            connect again and send the casts that they hold.
        :param left: returns how many resources wait for the proof, for the log.
        :param check: checks more before each proof. :raises Unproven: casts may wait elsewhere.
        """
        began, logged = time.monotonic(), False

        def failed(reason: BaseException, _pause: float) -> None:
            nonlocal logged
            LOG.debug("%s: casts may wait: %s", self._host, reason)
            if not logged and time.monotonic() - began >= grace:
                self._log(left, reason)
                logged = True

        proven: Proven | None = None
        try:
            while not self._stopping.is_set():
                if (now := self._next(check, failed)) == proven:
                    return True
                proven = now
                self._stopping.wait(grace)
        except ProcessStopping:
            LOG.debug("%s: the proof that no cast waits is given up: the service stops", self._host)
        return False

    def _next(
        self, check: Callable[[], None], failed: Callable[[BaseException, float], None]
    ) -> Proven:
        """Attempt a proof until one succeeds. :raises ProcessStopping: the process stops."""

        def attempt() -> Proven:
            check()
            return self._proof.attempt()

        return repeat.until_stopped(
            attempt,
            self._stopping.wait,
            on=Unproven,
            first=PAUSE,
            longest=PAUSE_MAX,
            failed=failed,
        )

    def registered(self) -> set[str]:
        """Return the hosts with consumers in the journal. :raises Unproven: it does not answer."""
        return self._proof.registered()

    def require_empty(self, queue: str, alive: int) -> None:
        """Check that no message waits in a queue with live consumers. :raises Unproven: one may."""
        self._proof.require_empty(queue, alive)

    def _log(self, left: Callable[[], int], reason: BaseException) -> None:
        try:
            count = f"{left()} resources"
        except Exception as error:  # noqa: BLE001 - the number is for information only
            LOG.debug("orphaned resources of %s cannot be counted: %s", self._host, error)
            count = "resources"
        LOG.warning(
            "%s of %s stay in transient statuses, as casts for them may wait: %s; checked again"
            " until it is known",
            *(count, self._host, reason),
        )
