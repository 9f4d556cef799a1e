# SPDX-License-Identifier: Apache-2.0
"""The journal as one process uses it: with its own slot, and a wait for the end of outages."""

from __future__ import annotations

from dataclasses import dataclass

from worker.execution.retry import JournalRetry
from worker.journal.journal import Journal


@dataclass(frozen=True)
class SlotJournal:
    """The journal and the slot under which one process owns operations in it.

    :param retry: repeats calls while the journal is away.
    """

    journal: Journal
    retry: JournalRetry
    slot: str
