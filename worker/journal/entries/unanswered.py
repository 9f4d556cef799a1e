# SPDX-License-Identifier: Apache-2.0
"""Entries whose insertion had no answer of the database: they may be in the journal, or not."""

from __future__ import annotations

import threading


class UnansweredInsertions:
    """The flows of one process whose entries were perhaps written."""

    def __init__(self) -> None:
        self._unanswered: set[str] = set()
        self._withdrawn: set[str] = set()
        self._guard = threading.Lock()

    def add(self, flow: str) -> None:
        """Note that an insertion had no answer."""
        with self._guard:
            self._unanswered.add(flow)

    def withdraw(self, flow: str) -> None:
        """Note that an entry is to be removed, if it is there."""
        with self._guard:
            self._withdrawn.add(flow)

    def withdrawn(self) -> set[str]:
        """Return the entries that are to be removed."""
        with self._guard:
            return set(self._withdrawn)

    def settle(self, flow: str) -> bool:
        """Note whether an entry is there is known; return whether it was not."""
        with self._guard:
            was_unanswered = flow in self._unanswered
            self._unanswered.discard(flow)
            self._withdrawn.discard(flow)
        return was_unanswered
