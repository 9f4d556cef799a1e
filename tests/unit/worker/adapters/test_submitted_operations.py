# SPDX-License-Identifier: Apache-2.0
"""Operations that flows submit, and the ids of the operations in progress."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from flows.volume import create, delete
from flows.volume.image_cache import evict, fill
from tests.dispatchers import volume_dispatcher
from worker.adapters.submitted_operations import SubmittedOperations
from worker.execution.resource_queue import ResourceQueue, Ticket
from worker.execution.retry import JournalRetry
from worker.execution.slot_journal import SlotJournal
from worker.journal.journal import Journal
from worker.locks import Locks
from worker.rpc.operation import Operation

VOLUME = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(f"sqlite:///{tmp_path}/journal.sqlite")
    made.upgrade()
    yield made
    made.close()


@pytest.fixture
def resources() -> ResourceQueue:
    return ResourceQueue(Locks("file:///nowhere", "h1"), threading.Event())


@pytest.fixture
def submitted(journal: Journal, resources: ResourceQueue) -> SubmittedOperations:
    own = SlotJournal(journal, JournalRetry(threading.Event()), "h1@b1/0")
    return SubmittedOperations(volume_dispatcher(), own, resources)


def accept(journal: Journal, method: str, kind: str, row_id: str, **args: Any) -> Any:
    operation = Operation(create.flow, (kind, row_id), args, method=method)
    return journal.accept(f"{len(method):032}", "slot", operation)


class TestInProgress:
    def test_resources_and_arguments_of_unfinished_operations(
        self, journal: Journal, submitted: SubmittedOperations
    ) -> None:
        accept(journal, "update_group", "group", "g1", add=["v1"], remove=[])
        accept(journal, "revert_to_snapshot", "volume", "v2", snapshot_id="s1", spec={"id": "x"})

        assert {"g1", "v1", "v2", "s1"} <= submitted.in_progress()
        assert "x" not in submitted.in_progress()

    def test_not_of_operations_that_have_ended(
        self, journal: Journal, submitted: SubmittedOperations
    ) -> None:
        detail = accept(journal, "create_volume", "volume", "v1")
        journal.finish(detail, journal.progress(detail), None)

        assert submitted.in_progress() == set()

    def test_not_of_clean_ups(self, journal: Journal, submitted: SubmittedOperations) -> None:
        accept(journal, "do_cleanup", "backend", "b", resource_id="v1")

        assert submitted.in_progress() == set()


class TestDeletion:
    def test_it_is_journalled_at_once(
        self, journal: Journal, submitted: SubmittedOperations
    ) -> None:
        submitted.delete_volume(Record("volume", {"id": VOLUME, "name": f"volume-{VOLUME}"}))

        (detail,) = journal.unfinished("h1@b1/0")
        operation = Operation.from_meta(detail.meta)
        assert (operation.method, operation.factory) == ("delete_volume", delete.flow)
        assert operation.args == {"volume_id": VOLUME, "unmanage_only": False, "cascade": True}
        assert operation.request.is_admin
        assert submitted.in_progress() == {VOLUME}

    def test_it_is_taken_once(self, journal: Journal, submitted: SubmittedOperations) -> None:
        submitted.delete_volume(Record("volume", {"id": VOLUME, "name": f"volume-{VOLUME}"}))

        ((operation, detail),) = submitted.take()
        assert operation.resource == ("volume", VOLUME)
        assert [str(one.uuid) for one in journal.unfinished("h1@b1/0")] == [str(detail.uuid)]
        assert list(submitted.take()) == []


class TestImageCache:
    def test_an_image_is_read_once_at_a_time(
        self, journal: Journal, submitted: SubmittedOperations, resources: ResourceQueue
    ) -> None:
        def ask() -> None:
            submitted.fill_image_cache("lock", "i1", {"size": 1}, {"column": "host", "name": "h"})

        def wait() -> bool:
            """Wait behind the operation; return whether that is over at once."""
            come = threading.Event()
            ticket = Ticket((), ("lock",), come.set)
            resources.enter(ticket)
            resources.leave(ticket)
            return come.is_set()

        ask()
        ask()
        assert not wait()  # it is journalled, and has no ticket yet
        tickets = []
        for operation, _detail in submitted.take():
            assert (operation.factory, operation.moves_data) == (fill.flow, True)
            assert operation.exclusive == ("lock", f"{operation.args['volume_id']}-delete_volume")
            tickets.append(Ticket(operation.exclusive, (), lambda: None))
            resources.enter(tickets[0])
        ask()

        assert not wait()
        assert submitted.fills_image_cache("lock")
        assert len(journal.unfinished("h1@b1/0")) == 1
        resources.leave(tickets[0])
        assert wait()
        assert not submitted.fills_image_cache("lock")
        ask()
        assert len(list(submitted.take())) == 1

    def test_a_volume_is_evicted_once(
        self, journal: Journal, submitted: SubmittedOperations
    ) -> None:
        submitted.evict_image_volume(VOLUME, "i1")
        submitted.evict_image_volume(VOLUME, "i1")

        ((operation, _detail),) = submitted.take()
        assert operation.factory is evict.flow
        assert operation.exclusive == (f"{VOLUME}-delete_volume",)
        assert len(journal.unfinished("h1@b1/0")) == 1
