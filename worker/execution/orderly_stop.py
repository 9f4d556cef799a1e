# SPDX-License-Identifier: Apache-2.0
"""Record an orderly stop of a process in the journal.

The operations that it leaves were not interrupted: their entries become ``SUSPENDED``, also
those whose driver call has not returned. Without this record the end of the process counts
against them as a crash.
"""

from __future__ import annotations

import logging
import threading

from worker.journal.errors import JournalError
from worker.journal.journal import Journal

LOG = logging.getLogger(__name__)

WAIT = 2.0
"""Longest wait for the journal, in seconds; the supervisor kills a process 5 s after its grace."""


def record(journal: Journal, slot: str, wait: float = WAIT) -> None:
    """Record the stop; a failure is logged, and the stop continues.

    :param wait: longest wait for the journal in seconds, which may hang.
    """
    written = threading.Event()

    def suspend() -> None:
        try:
            journal.suspend(slot)
        except JournalError as error:
            LOG.error("the stop of %s cannot be noted and counts as a crash: %s", slot, error)
        written.set()

    threading.Thread(target=suspend, name="orderly-stop", daemon=True).start()
    if wait and not written.wait(wait):
        LOG.error("the stop of %s is not noted after %.0f s: the journal hangs", slot, wait)
