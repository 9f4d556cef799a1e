# SPDX-License-Identifier: Apache-2.0
"""Insert entries once for each message, also where the database did not answer."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa
from taskflow import states
from taskflow.persistence.models import FlowDetail

from worker.journal.errors import JournalRefused, JournalUnavailable
from worker.journal.group_commit import GroupCommit
from worker.journal.statements import Statements
from worker.journal.transaction import Transactions


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
        """Have the entry of a flow left as it is; return whether it was unanswered or withdrawn.

        Then the entry belongs to this caller alone, who runs or removes it.
        """
        with self._guard:
            was_free = flow in self._unanswered or flow in self._withdrawn
            self._unanswered.discard(flow)
            self._withdrawn.discard(flow)
        return was_free


class Insertions:
    """New entries of the journal of one process.

    :param disk: waits until a commit survives a power cut.
    :param writing: gives the cursor of a transaction, which may have to be durable.
    """

    def __init__(
        self,
        engine: sa.Engine,
        transactions: Transactions,
        statements: Statements,
        disk: GroupCommit,
        writing: Callable[..., AbstractContextManager[Any]],
    ) -> None:
        self._engine = engine
        self._transactions = transactions
        self._statements = statements
        self._disk = disk
        self._writing = writing
        self._unanswered = UnansweredInsertions()

    def insert(self, slot: str, detail: FlowDetail) -> FlowDetail | None:
        """Write a new entry and return it; None where its message came before."""
        try:
            with self._writing(durably=True) as cursor:
                self._statements.insert(cursor, slot, detail)
        except JournalUnavailable:
            self._unanswered.add(detail.uuid)
            raise
        except JournalRefused as error:
            if not isinstance(error.__cause__, self._engine.dialect.loaded_dbapi.IntegrityError):
                raise
            return self._read_back(slot, detail, error)
        self._unanswered.settle(detail.uuid)
        return detail

    def insert_all(self, slot: str, details: Sequence[FlowDetail]) -> None:
        """Write new entries in one durable transaction.

        :raises JournalUnavailable: perhaps written.
        :raises JournalRefused: none is written.
        """
        try:
            with self._writing(durably=True) as cursor:
                for detail in details:
                    self._statements.insert(cursor, slot, detail)
        except JournalUnavailable:
            for detail in details:
                self._unanswered.add(detail.uuid)
            raise

    def _read_back(
        self, slot: str, detail: FlowDetail, refusal: JournalRefused
    ) -> FlowDetail | None:
        """Return an entry that this process wrote without an answer or withdrew, to one caller.

        None where its message came before: the call that wrote the entry runs it.
        """
        flow = detail.uuid
        self._disk.wait()  # the entry was committed, perhaps by a call that still waits
        with self._transactions.reading() as connection:
            owner = self._statements.slot_of(connection, flow)
            found = self._statements.load(connection, flow)
        if owner is None or found is None:
            raise refusal
        as_accepted = owner == slot and found.state == states.PENDING and not list(found)
        return found if self._unanswered.settle(flow) and as_accepted else None

    def withdraw(self, unique_id: str) -> None:
        """Have an entry removed whose acceptance had no answer, and that is not to run."""
        self._unanswered.withdraw(flow_id(unique_id))

    def remove_withdrawn(self) -> None:
        """Remove the entries that were withdrawn, if they are there and have not begun."""
        for flow in self._unanswered.withdrawn():
            if not self._unanswered.settle(flow):  # a second delivery of its message runs it
                continue
            try:
                with self._transactions.changing() as connection:
                    self._statements.remove_pending(connection, flow, states.PENDING)
            except BaseException:
                self._unanswered.withdraw(flow)
                raise


def flow_id(unique_id: str) -> str:
    """Return the flow's uuid for a message: the same for the same message."""
    try:
        return str(uuid.UUID(hex=unique_id))
    except ValueError:
        named = unique_id.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")
        return str(uuid.uuid5(uuid.NAMESPACE_OID, named))
