# SPDX-License-Identifier: Apache-2.0
"""Durable journal of accepted operations: written before a cast is acknowledged.

It is taskflow's persistence: one logbook and one flow detail per operation. The uuid of
the flow detail is the unique id of the message, so that a message which is delivered again
is recognised; the name of the logbook is the slot that owns the flow. Entries that ended
stay for a while, to recognise late duplicates and to be listed.
"""

from __future__ import annotations

import datetime
import functools
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa
import tenacity
from taskflow import states
from taskflow.persistence.backends.sqlalchemy import tables as taskflow_tables
from taskflow.persistence.models import FlowDetail
from taskflow.types.failure import Failure

from flows.storable_errors import bounded
from worker import database_sessions
from worker.journal import interruptions, schema
from worker.journal.consumers import Consumers
from worker.journal.entries import ended_operation, entry_list, journal_usage, listed_entry
from worker.journal.entries.ended_operation import SHOWN, reopened, unmask
from worker.journal.entries.insertions import Insertions, flow_id
from worker.journal.entries.journal_usage import JournalUsage
from worker.journal.entries.kept_failures import FAILED, KeptFailures
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.entries.rejected_messages import REJECTED, RejectedEntries
from worker.journal.entries.stored_operation import UNREADABLE, reason_of
from worker.journal.errors import (
    JournalError,
    JournalRefused,
    UnreadableEntry,
)
from worker.journal.group_commit import GroupCommit
from worker.journal.interruptions import Interruption
from worker.journal.operator_requests import OperatorRequests
from worker.journal.progress import FlowProgress
from worker.journal.slots.journal_slots import JournalSlots
from worker.journal.statements import Statements
from worker.journal.transaction import Transactions, translated
from worker.metrics.definitions import COMMIT_SECONDS
from worker.metrics.measurements import MEASURED
from worker.rpc.operation import Operation

LOG = logging.getLogger(__name__)

UPGRADE_ATTEMPTS = 8

_ASIDE = "set aside, since it holds no operation"
"""Begin of the failure of an entry that cannot be read."""

ENDED = (states.SUCCESS, *FAILED)


class Journal:
    """Accepted operations and their progress, for one process.

    :param connection: database URL; SQLite files are kept in write-ahead mode.
    :param keep_failed: returns how many bytes of failed operations are kept; None for no limit.
    """

    def __init__(self, connection: str, keep_failed: Callable[[], int] | None = None) -> None:
        self._engine = schema.make_engine(connection)
        self._disk = GroupCommit(schema.file_of(self._engine))
        self._metadata = sa.MetaData()
        self._tables = taskflow_tables.fetch(self._metadata)
        self._statements = Statements(self._tables, self._engine)
        self._transactions = Transactions(self._engine)
        self.failures = KeptFailures(self._tables, keep_failed)
        self.requests = OperatorRequests(self._transactions, self._tables)
        self.consumers = Consumers(self._transactions)
        self.slots = JournalSlots(
            *(self._engine, self._transactions, self._statements, self._tables),
            *(self.consumers, ENDED),
        )
        self.insertions = Insertions(
            *(self._engine, self._transactions, self._statements, self._disk, self._writing)
        )
        self.rejected = RejectedEntries(
            *(self._transactions, self._tables, self._statements, self.insertions)
        )

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(JournalError),
        wait=tenacity.wait_random(0.05, 0.3),
        stop=tenacity.stop_after_attempt(UPGRADE_ATTEMPTS),
        reraise=True,
    )
    def upgrade(self) -> None:
        """Create or migrate the tables. :raises JournalError: the database refuses.

        Processes that start together do this together: the second one finds the tables
        half made, and tries again.
        """
        with translated(self._engine), schema.alone(self._engine):
            schema.upgrade(self._engine, self._metadata)
            schema.add_indexes(self._engine)
            schema.widen_columns(self._engine)
            self._statements.limit.longest = schema.longest_row(self._engine)
            self.requests.upgrade()
            self.consumers.upgrade()
            journal_usage.upgrade(self._engine)
            if self.slots.table is not None:
                self.slots.table.upgrade()

    def only_read(self) -> None:
        """Have the database refuse to change anything from now on; before the first query."""
        database_sessions.only_read(self._engine)

    def close(self) -> None:
        """Drop the connections; called before a fork as well."""
        self._engine.dispose()

    def accept(self, unique_id: str, slot: str, operation: Operation) -> FlowDetail | None:
        """Write an operation, ready to run, in one durable transaction.

        :param unique_id: of its message.
        :returns: the flow to run; None when this message was accepted before. An entry that
            an earlier call for this message has written, without an answer, is returned once.
        :raises JournalUnavailable: perhaps written; nothing may be acknowledged.
        :raises JournalRefused: it cannot be written.
        """
        return self.insertions.insert(slot, _ready_to_run(unique_id, operation))

    def accept_together(
        self, messages: Iterable[tuple[str, Operation]], slot: str
    ) -> list[FlowDetail]:
        """Write operations, ready to run, in one durable transaction; return their flows.

        :param messages: the unique id of each message, with its operation.
        :raises JournalUnavailable: perhaps written. :meth:`accept` of each message says.
        :raises JournalRefused: none is written: one cannot be, or its message came before.
        """
        details = [_ready_to_run(unique_id, operation) for unique_id, operation in messages]
        self.insertions.insert_all(slot, details)
        return details

    def progress(self, detail: FlowDetail) -> FlowProgress:
        """Return the backend through which one flow's engine writes its progress."""
        durably = functools.partial(self._writing, durably=True)
        return FlowProgress(self._statements, self._writing, durably, detail)

    def count_interruption(
        self,
        detail: FlowDetail,
        found: Interruption | None = None,
        *,
        group_size: int = 1,
        reverts: int | None = None,
    ) -> int:
        """Note that a flow is resumed, and return how often it was interrupted.

        :param found: the judgement of its entry, unless that is made here.
        :param group_size: how many flows are resumed together, this one included.
        :param reverts: interruptions since its reverts were begun or decided on.
        """
        found = found or interruptions.of(detail)
        meta, state = interruptions.noted(detail, found, group_size, reverts), detail.state
        if state in (states.PENDING, states.SUSPENDED, interruptions.LOST):
            state = states.RUNNING
        with self._writing() as cursor:
            self._statements.set_flow(cursor, detail.uuid, state, meta)
        detail.meta, detail.state = meta, state  # only now: the write may be tried again
        return found.count

    def suspend(self, slot: str) -> None:
        """Note durably that a stop in order leaves the flows of a slot: none was interrupted."""
        with self._transactions.changing() as connection:
            but = (*ENDED, states.PENDING, states.SUSPENDED)
            self._statements.set_all(connection, slot, states.SUSPENDED, but)
        self._disk.wait()

    def finish(
        self,
        detail: FlowDetail,
        progress: FlowProgress,
        failure: Failure | None,
        revert_failures: Mapping[str, str] | None = None,
    ) -> bool:
        """Mark a flow as ended; a success keeps only the fields of listings.

        May be repeated: after an error it is not known whether it was written.

        :param revert_failures: class and text of the error of each revert that failed, by step.
        :returns: whether the entry has all that an operator needs to have reverts repeated.
        """
        if failure is None:
            ended = ended_operation.succeeded(detail)
        else:
            ended = ended_operation.failed(detail, failure, revert_failures or {})
        with self._writing(durably=progress.ends_durably) as cursor:
            if failure is not None:
                progress.write(cursor)
                if ended.atoms:
                    self._statements.update_atoms(cursor, ended.atoms)
            elif progress.started:
                self._statements.drop_atoms(cursor, detail.uuid)
            self._statements.set_flow(cursor, detail.uuid, ended.state, ended.meta)
        if failure is not None and self.failures.added(ended.meta):
            try:
                self.prune_failures()
            except JournalError as error:
                LOG.warning("failed operations are removed from the journal later: %s", error)
        return failure is not None and not ended.meta.get(ended_operation.MASKED)

    def prune_failures(self) -> None:
        """Forget the oldest failed operations that exceed the limit of their bytes."""
        with self._transactions.changing() as connection:
            self.failures.prune(connection)

    def request_revert(self, detail: FlowDetail, reason: str) -> None:
        """Note that a flow is to be reverted, so that a kill does not lose the request."""
        meta = {**detail.meta, "undo": reason}
        with self._writing() as cursor:
            self._statements.set_meta(cursor, detail.uuid, meta)
        detail.meta = meta

    def reopen(self, flow: str) -> FlowDetail:
        """Make a reverted flow ready to run from its start."""
        detail = self.load(flow)
        meta = reopened(detail.meta) | {"reopened": uuid.uuid4().hex, "claims": True}
        with self._writing() as cursor:
            self._statements.drop_atoms(cursor, flow)
            # As if it had been suspended: this is no resume after a kill.
            self._statements.set_flow(cursor, flow, states.SUSPENDED, meta)
        return self.load(flow)

    def revert_again(self, flow: str, known: FlowDetail | None = None) -> FlowDetail:
        """Make a flow whose reverts failed ready to be reverted once more.

        :param known: the flow as it was before its secrets were masked.
        """
        detail = self.load(flow)
        if known is not None:
            unmask(detail, known)
        atoms = list(detail)
        for atom in atoms:
            if atom.state == states.REVERTED:
                atom.state = states.SUCCESS if atom.failure is None else states.FAILURE
                atom.revert_results = None
        meta = reopened(detail.meta) | {"reopened": True}
        with self._writing() as cursor:
            self._statements.update_atoms(cursor, atoms)
            self._statements.set_flow(cursor, flow, states.SUSPENDED, meta)
        return self.load(flow)

    def unfinished(self, slot: str) -> list[FlowDetail]:
        """Return the interrupted flows of a slot, the oldest first.

        Entries that cannot be read are set aside: they must not keep the others from running.
        """
        with self._reading() as connection:
            uuids = self._statements.unfinished(connection, slot, ENDED)
        return self.load_each(uuids)

    def load_each(self, flows: Iterable[str]) -> list[FlowDetail]:
        """Return flows that are to be resumed; entries that cannot be read are set aside."""
        found = []
        for flow in flows:
            try:
                found.append(self.load(flow))
            except UnreadableEntry as error:
                self.set_aside(flow, str(error))
        return found

    def set_aside(self, flow: str, reason: str, detail: FlowDetail | None = None) -> None:
        """End an entry that holds no operation: it is listed as failed, with the reason."""
        LOG.error(
            "the journal entry %s is set aside as failed, nothing of it runs: %s", flow, reason
        )
        kept = detail.meta if detail is not None and isinstance(detail.meta, Mapping) else {}
        failure = {"failure": bounded(f"{_ASIDE}: {reason}", SHOWN)}
        try:
            self._fail(flow, {**kept, **failure})
        except JournalRefused:  # it is as large as an entry can be
            self._fail(flow, failure)

    def _fail(self, flow: str, meta: dict[str, Any]) -> None:
        with self._writing(durably=True) as cursor:
            self._statements.set_flow(cursor, flow, states.FAILURE, meta)

    def load(self, flow: str) -> FlowDetail:
        """Read a flow with its tasks.

        :raises UnreadableEntry: a column cannot be decoded.
        :raises JournalError: none of that id.
        """
        with self._reading() as connection:
            try:
                detail = self._statements.load(connection, flow)
            except UNREADABLE as error:
                text = f"{listed_entry.UNREADABLE_ENTRY}: {reason_of(error)}"
                raise UnreadableEntry(text) from error
        if detail is None:
            raise JournalError(f"journal: there is no flow {flow}")
        return detail

    def entries(
        self,
        *,
        rejected: bool = False,
        among: Sequence[str] | None = None,
        beginning: str = "",
        limit: int = 1000,
        after: int = 0,
    ) -> list[JournalEntry]:
        """Return entries, the newest first.

        :param rejected: messages that are no operation, instead of flows.
        :param among: only these states.
        :param beginning: only flows whose id begins like this.
        :param after: how many of the newest ones are left out.
        """
        wanted = self._statements.which(REJECTED, rejected, among, beginning)
        with self._reading() as connection:
            return entry_list.read(self._statements, connection, wanted, limit, after)

    def was_repeated(self, detail: FlowDetail) -> bool:
        """Return whether the caller has sent its request again, and that was carried out."""
        with self._reading() as connection:
            return entry_list.was_repeated(self._statements, connection, detail)

    def prove_writable(self) -> None:
        """Write to the journal, and change nothing.

        :raises JournalError: it cannot be written.
        """
        with self._writing(durably=True) as cursor:
            if self._transactions.fence is None:  # which writes the row of the slot
                journal_usage.touch(cursor)

    def usage(self) -> JournalUsage:
        """Return how much the journal holds, and how much was removed by its limit."""
        with self._reading() as connection:
            return journal_usage.read(
                connection,
                self._tables,
                self.failures.kept_bytes(connection),
                rejected=REJECTED,
                succeeded=states.SUCCESS,
                failed=FAILED,
            )

    def prune(self, finished_before: datetime.datetime, failed_before: datetime.datetime) -> int:
        """Forget entries that ended before these times (UTC); return how many."""
        removed = 0
        for state, before in (
            (states.SUCCESS, finished_before),
            (states.REVERTED, failed_before),
            (states.FAILURE, failed_before),
        ):
            with self._transactions.changing() as connection:
                removed += self._statements.prune(connection, state, before)
        return removed

    @contextmanager
    def _writing(self, *, durably: bool = False) -> Iterator[Any]:
        """Return a cursor whose transaction ends with the block.

        :param durably: whether to wait until it survives a power cut.
        """
        began = time.monotonic()
        with self._transactions.writing() as cursor:
            yield cursor
        if durably:
            self._disk.wait()
            MEASURED.observe(COMMIT_SECONDS, time.monotonic() - began)

    def _reading(self) -> AbstractContextManager[sa.Connection]:
        return self._transactions.reading()


def _ready_to_run(unique_id: str, operation: Operation) -> FlowDetail:
    detail = FlowDetail(operation.method, flow_id(unique_id))
    detail.meta = operation.to_meta()
    detail.state = states.PENDING
    return detail
