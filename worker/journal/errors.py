# SPDX-License-Identifier: Apache-2.0
"""Errors of the journal.

JournalError
├── JournalUnavailable     the connection, the disk: the request may be repeated
│   └── JournalConflict    a deadlock, a lock: nothing was written
├── JournalRefused         the statement or its values: a repetition does not help
├── JournalFenced          another process has taken the slot: nothing may be done any more
└── UnreadableEntry        an entry that no version of the worker has written
"""

from __future__ import annotations

from taskflow.exceptions import StorageFailure


class JournalError(Exception):
    """The journal did not do as it was asked."""


class JournalUnavailable(JournalError):
    """The database of the journal is away; whether it did as it was asked is not known."""


class JournalConflict(JournalUnavailable):
    """Another transaction was in the way, maybe at the commit; nothing was written."""


class JournalFenced(JournalError):
    """The process does not own its slot any more: it writes nothing, and ends at once."""


class JournalRefused(JournalError):
    """The database of the journal refuses a statement or its values, and will do so again."""


class UnreadableEntry(JournalError):
    """An entry holds no operation: it is damaged or forged."""


class ProgressRefused(StorageFailure):  # type: ignore[misc]
    """The journal refuses the progress of a flow, which cannot continue with it."""
