# SPDX-License-Identifier: Apache-2.0
"""The checker of cluster runs finds violations that are planted in forged histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.backend.history import BEGIN, EFFECT, END, History, Line, read
from tests.cluster.checks.evidence import KINDS, Evidence, Journalled, Struck
from tests.cluster.checks.verdict import Verdict
from tests.cluster.load.ledger import GONE, Entry

VOLUME = "11111111-1111-1111-1111-111111111111"
SNAPSHOT = "22222222-2222-2222-2222-222222222222"
BACKUP = "33333333-3333-3333-3333-333333333333"
REQUEST = "req-1"


def call(
    life: str,
    began: float,
    ended: float | None,
    *,
    effects: Sequence[float] = (),
    method: str = "create_volume",
    resource: str = VOLUME,
    reads: tuple[str, ...] = (),
    request: str = REQUEST,
    epoch: int | None = None,
) -> list[Line]:
    """Return the lines of a call; one without an end was interrupted."""
    host = life.partition("-")[0]
    first = Line(
        *(BEGIN, f"{life} {began}", method, host, 1, life, request, resource, reads, began, 0.0),
        epoch=epoch,
        slot=f"{host}@b1/0",
    )
    events = [(moment, EFFECT) for moment in effects]
    events += [] if ended is None else [(ended, END)]
    return [first, *(replace(first, event=event, moment=moment) for moment, event in events)]


def history(*calls: list[Line]) -> list[Line]:
    return sorted((line for one in calls for line in one), key=lambda line: line.moment)


def entry(done: float | None = 9.0, method: str = "create_volume", **changes: Any) -> Entry:
    made = Entry(method, "volume", VOLUME, "creating", "available", REQUEST, 0.0, done, "available")
    return replace(made, **changes)


def evidence(**parts: Any) -> Evidence:
    """Return a run in which one volume was created, with some parts replaced."""
    good: dict[str, Any] = {
        "lines": history(call("h1-1", 1.0, 2.0, effects=[1.1, 1.9])),
        "entries": [entry()],
        "journal": [Journalled("f1", REQUEST, "create_volume", f"volume {VOLUME}", "SUCCESS")],
        "rows": {"volume": {VOLUME: {"status": "available"}}},
        "objects": frozenset({f"volume-{VOLUME}"}),
    }
    return Evidence(**{**good, **parts})


def found(**parts: Any) -> dict[str, int]:
    """Return how many violations of each kind the checker finds."""
    figures = Verdict.of(evidence(**parts)).figures()
    return {kind: figures[kind] for kind in KINDS if figures[kind]}


def test_a_good_run_has_no_violations() -> None:
    assert found() == {}


class TestOverlaps:
    def test_two_hosts_inside_one_resource(self) -> None:
        lines = history(call("h1-1", 1.0, 3.0), call("h2-1", 2.0, 4.0, request="req-2"))

        assert found(lines=lines) == {"overlaps": 1}

    def test_two_threads_of_one_process(self) -> None:
        lines = history(call("h1-1", 1.0, 3.0), call("h1-1", 2.0, 4.0, request="req-2"))

        assert found(lines=lines) == {"overlaps": 1}

    def test_a_change_of_a_source_while_it_is_read(self) -> None:
        clone = call("h1-1", 1.0, 3.0, resource=SNAPSHOT, reads=(VOLUME,), request="req-2")
        lines = history(clone, call("h2-1", 2.0, 4.0))

        assert found(lines=lines) == {"overlaps": 1}

    def test_two_readers_are_allowed(self) -> None:
        lines = history(
            call("h1-1", 1.0, 3.0, resource=SNAPSHOT, reads=(VOLUME,), request="req-2"),
            call("h2-1", 2.0, 4.0, resource=BACKUP, reads=(VOLUME,), request="req-3"),
        )

        assert found(lines=lines) == {}

    def test_an_interrupted_call_lasts_until_its_last_line(self) -> None:
        interrupted = call("h1-1", 1.0, None, effects=[1.5, 2.5])

        assert found(lines=history(interrupted, call("h2-1", 2.6, 4.0))) == {}
        assert found(lines=history(interrupted, call("h2-1", 2.4, 4.0))) == {"overlaps": 1}


class TestStaleWrites:
    def test_a_change_after_the_successor_began(self) -> None:
        lines = history(
            call("h1-1", 1.0, None, effects=[1.5, 5.5]),
            call("h2-1", 3.0, 4.0, effects=[3.1, 3.9]),
        )

        assert found(lines=lines)["stale_writes"] == 1

    def test_a_takeover_without_one(self) -> None:
        lines = history(
            call("h1-1", 1.0, None, effects=[1.5, 2.5]),
            call("h2-1", 3.0, 4.0, effects=[3.1, 3.9]),
        )

        assert found(lines=lines) == {}

    def test_other_operations_of_an_older_process(self) -> None:
        lines = history(
            call("h1-1", 1.0, 2.0, effects=[1.5]),
            call("h2-1", 3.0, 4.0, effects=[3.5], request="req-2", method="extend_volume"),
            call("h1-1", 5.0, 6.0, effects=[5.5], request="req-3", method="delete_volume"),
        )

        assert found(lines=lines) == {}

    def test_an_old_epoch(self) -> None:
        lines = history(
            call("h1-2", 1.0, 2.0, effects=[1.5], epoch=8),
            call("h1-1", 3.0, 4.0, effects=[3.5], epoch=7, request="req-2", method="extend_volume"),
        )

        assert found(lines=lines) == {"stale_writes": 1}

    def test_a_lower_epoch_of_another_slot(self) -> None:
        lines = history(
            call("h1-1", 1.0, None, effects=[1.5], epoch=8),
            call("h2-1", 3.0, 4.0, effects=[3.5], epoch=2),
        )

        assert found(lines=lines) == {}

    def test_a_change_that_only_the_object_shows(self) -> None:
        texts = [f"{life} {REQUEST} create_volume" for life in ("h1-1", "h2-1", "h1-1")]
        lines = history(call("h2-1", 1.0, 2.0, effects=[1.5]))

        assert found(lines=lines, tracks={VOLUME: texts}) == {"stale_writes": 1}


class TestDoneTwice:
    def test_a_call_after_the_end_of_its_operation(self) -> None:
        lines = history(call("h1-1", 1.0, 2.0), call("h2-1", 12.0, 13.0))

        assert found(lines=lines) == {"done_twice": 1}

    def test_two_entries_of_the_journal_for_one_cast(self) -> None:
        both = [
            Journalled(flow, REQUEST, "create_volume", f"volume {VOLUME}", "SUCCESS")
            for flow in ("f1", "f2")
        ]

        assert found(journal=both) == {"done_twice": 1}

    def test_a_repetition_before_the_end(self) -> None:
        lines = history(call("h1-1", 1.0, 2.0), call("h2-1", 3.0, 4.0))

        assert found(lines=lines) == {}


class TestEnds:
    def test_a_cast_that_neither_the_journal_nor_a_queue_has(self) -> None:
        open_ = entry(done=None, status="creating")

        rows = {"volume": {VOLUME: {"status": "creating"}}}
        assert found(entries=[open_], journal=[], rows=rows) == {"lost": 1}

    def test_a_cast_that_waits_in_a_queue(self) -> None:
        open_ = entry(done=None, status="creating")

        rows = {"volume": {VOLUME: {"status": "creating"}}}
        assert found(entries=[open_], journal=[], rows=rows, waiting=1) == {"stuck": 1}

    @pytest.mark.parametrize("state", ["RUNNING", "SUSPENDED", "SUCCESS"])
    def test_a_row_that_keeps_its_status(self, state: str) -> None:
        open_ = entry(done=None, status="creating")
        one = Journalled("f1", REQUEST, "create_volume", f"volume {VOLUME}", state)

        rows = {"volume": {VOLUME: {"status": "creating"}}}
        assert found(entries=[open_], journal=[one], rows=rows) == {"stuck": 1}

    def test_an_entry_of_the_journal_that_never_ends(self) -> None:
        one = Journalled("f1", "req-9", "create_volume", f"volume {VOLUME}", "RUNNING")

        assert found(journal=[one]) == {"stuck": 1}

    def test_a_row_of_work_without_an_operation(self) -> None:
        assert found(workers=[VOLUME]) == {"stuck": 1}

    @pytest.mark.parametrize("status", ["available", "error"])
    def test_a_row_without_an_object(self, status: str) -> None:
        rows = {"volume": {VOLUME: {"status": status}}}
        wanted = {"lost": 1} if status == "available" else {}

        assert found(rows=rows, objects=frozenset()) == wanted

    def test_objects_without_a_row(self) -> None:
        other = "44444444-4444-4444-4444-444444444444"
        objects = frozenset(
            {f"volume-{VOLUME}", f"volume-{other}", f"volume-{VOLUME}@snapshot-{SNAPSHOT}"}
        )
        names = frozenset({f"a/{BACKUP}_metadata", f"a/{BACKUP}-00001"})

        assert found(objects=objects, backups=names) == {"leaked": 3}

    def test_deleted_resources(self) -> None:
        gone = entry(method="delete_volume", good=GONE, status=GONE)

        assert found(entries=[gone], rows={}, objects=frozenset(), journal=[]) == {}


class TestTakeovers:
    def test_time_from_the_fault_to_the_next_call(self) -> None:
        lines = history(
            call("h1-1", 1.0, None, effects=[1.5]),
            call("h2-1", 18.0, 19.0, effects=[18.5]),
        )
        faults = [Struck("kill", ("h1",), 2.0)]

        figures = Verdict.of(evidence(lines=lines, faults=faults)).figures()

        assert (figures["faults"], figures["takeovers"]) == (1, 1)
        assert figures["takeover_max_s"] == 16.0

    def test_operations_that_wait_for_others_are_no_longer_takeover(self) -> None:
        lines = history(
            call("h1-1", 1.0, None),
            call("h1-1", 1.2, None, resource=SNAPSHOT, request="req-2"),
            call("h2-1", 18.0, 29.0),
            call("h2-1", 30.0, 31.0, resource=SNAPSHOT, request="req-2"),
        )
        faults = [Struck("kill", ("h1",), 2.0)]

        figures = Verdict.of(evidence(lines=lines, faults=faults)).figures()

        assert (figures["takeover_max_s"], figures["resumed_max_s"]) == (16.0, 28.0)

    @pytest.mark.parametrize(
        ("second", "disturbs"),
        [
            (Struck("database-server", ("h1", "h2"), 5.0, 14.0, counted=False), True),
            (Struck("kill", ("h2",), 0.5, 2.5), True),
            (Struck("kill", ("h2",), 0.5, 1.5), False),
            (Struck("kill", ("h3",), 5.0, 14.0), False),
        ],
    )
    def test_a_takeover_that_a_second_fault_disturbs_is_shown_apart(
        self, second: Struck, disturbs: bool
    ) -> None:
        lines = history(call("h1-1", 1.0, None), call("h2-1", 18.0, 19.0))
        faults = [Struck("kill", ("h1",), 2.0, 10.0), second]

        verdict = Verdict.of(evidence(lines=lines, faults=faults))
        figures = verdict.figures()

        both = (figures["takeover_p99_s"], figures["disturbed_max_s"])
        assert both == ((None, 16.0) if disturbs else (16.0, None))
        assert verdict.faults == (1 if not second.counted else 2)

    def test_a_restart_on_the_same_host_is_none(self) -> None:
        lines = history(call("h1-1", 1.0, None), call("h1-2", 18.0, 19.0))
        faults = [Struck("kill", ("h1",), 2.0)]

        assert Verdict.of(evidence(lines=lines, faults=faults)).takeovers == []


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = History(tmp_path / "history", "h1")
    with pytest.raises(ValueError, match="no"), written.call("extend_volume", VOLUME, ["a"], "r"):
        raise ValueError("no")

    first, last = read(tmp_path / "history")

    assert (first.event, last.event) == (BEGIN, "failed")
    assert (first.life, first.reads, first.host) == (written.life, ("a",), "h1")
    assert first.call == last.call
