# SPDX-License-Identifier: Apache-2.0
"""holdfast flow: the journal's flows in every state; holdfast journal status."""

from __future__ import annotations

import io
import re
import sqlite3
import uuid

import pytest
from taskflow import states
from taskflow.persistence.models import TaskDetail
from taskflow.types.failure import Failure

from flows.volume import create
from tests.unit.cli.conftest import Shell
from worker.cli.output import flow_graph
from worker.cli.output.colour import Colour
from worker.journal.entries import tasks
from worker.journal.journal import Journal
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


class Flows:
    """Writes flows into a journal as the service would."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def make(self, resource: str, **task_states: str) -> str:
        """Accept a creation, and let tasks get this far; all of them when it succeeded."""
        operation = Operation(
            create.flow,
            ("volume", resource),
            {"volume_id": resource},
            method="create_volume",
            request=RequestContext({"request_id": f"req-{resource}"}),
        )
        detail = self._journal.accept(uuid.uuid4().hex, "cli@local/0", operation)
        assert detail is not None
        progress = self._journal.progress(detail)
        for number, (name, state) in enumerate(task_states.items()):
            task = TaskDetail(name, uuid.uuid4().hex)
            task.state = state
            if state == states.REVERTED and name == "allocate":
                task.failure = _failure()
            detail.add(task)
            progress.update_atom_details(task)
            task.meta = {"began": 1000.0 + number, "ended": 1000.25 + number}
        progress.flush()
        values = set(task_states.values())
        if states.REVERTED in values:
            self._journal.finish(detail, progress, _failure())
        elif values == {states.SUCCESS} and len(task_states) == 3:
            self._journal.finish(detail, progress, None)
        return str(detail.uuid)


@pytest.fixture
def flows(journal: Journal) -> Flows:
    """Makes flows."""
    return Flows(journal)


def test_a_success_shows_its_tasks_and_times(holdfast: Shell, flows: Flows) -> None:
    flow = flows.make("done-1", begin="SUCCESS", allocate="SUCCESS", finish="SUCCESS")
    shown = holdfast("flow", "show", flow[:13], "-f", "json").rows

    assert (shown["state"], shown["request"]) == ("SUCCESS", "req-done-1")
    assert re.fullmatch(r"SUCCESS, began [\d:]+\.\d{3}, took 0\.250 s", shown["task_begin"])
    assert "task_finish" in shown


def test_a_failure_shows_which_task_failed_and_where(holdfast: Shell, flows: Flows) -> None:
    flow = flows.make("failed-1", begin="REVERTED", allocate="REVERTED")
    plain = holdfast("flow", "show", "failed-1", "-f", "json").rows
    told = holdfast("flow", "show", flow, "--traceback", "-f", "json").rows
    listed = holdfast("flow", "list", "--failed", "-f", "json").rows

    assert plain["task_begin"].startswith("REVERTED, ")
    assert plain["task_allocate"].startswith("FAILED, ")
    assert plain["task_finish"] == "PENDING"
    assert plain["failure"] == "ValueError: the shelf is gone"
    assert not any(name.startswith("traceback") for name in plain)
    assert "_failure" in told["traceback_of_allocate"]
    assert [(row["flow"], row["task"]) for row in listed] == [(flow, "allocate")]


def test_what_is_under_way_is_listed_by_itself(holdfast: Shell, flows: Flows) -> None:
    fresh = flows.make("fresh-1")
    running = flows.make("running-1", begin="SUCCESS", allocate="RUNNING")
    ended = flows.make("done-2", begin="SUCCESS", allocate="SUCCESS", finish="SUCCESS")
    listed = {row["flow"]: row for row in holdfast("flow", "list", "-f", "json").rows}
    every = {row["flow"] for row in holdfast("flow", "list", "--all", "-f", "json").rows}

    assert (listed[fresh]["task"], listed[running]["task"]) == ("begin", "allocate")
    assert ended not in listed
    assert {fresh, running, ended} <= every


def test_an_old_flow_is_not_hidden_by_newer_ones(holdfast: Shell, flows: Flows) -> None:
    stuck = flows.make("stuck-1", begin="SUCCESS", allocate="RUNNING")
    for number in range(3):
        flows.make(f"new-{number}", begin="SUCCESS", allocate="SUCCESS", finish="SUCCESS")
    rows = holdfast("flow", "list", "--limit", "2", "-f", "json").rows

    assert stuck in {row["flow"] for row in rows}


def test_a_beginning_that_fits_several_is_refused(holdfast: Shell, flows: Flows) -> None:
    flows.make("twin-1")
    flows.make("twin-2")
    newest = flows.make("twin-2")

    (error,) = holdfast("flow", "show", "twin-").errors
    assert error == "twin- is the beginning of several ids: volume twin-2, volume twin-1"
    assert holdfast("flow", "show", "twin-2", "-f", "json").rows["flow"] == newest


def test_the_flows_of_a_volume_are_listed(holdfast: Shell, flows: Flows) -> None:
    first = flows.make("mine-1", begin="SUCCESS", allocate="SUCCESS", finish="SUCCESS")
    failed = flows.make("mine-1", begin="REVERTED", allocate="REVERTED")
    running = flows.make("mine-1", begin="SUCCESS", allocate="RUNNING")
    flows.make("other-1", begin="SUCCESS", allocate="RUNNING")

    def listed(*words: str) -> list[str]:
        ran = holdfast("flow", "list", "--volume", *words, "-f", "json")
        return [row["flow"] for row in ran.rows]

    assert listed("mine") == [running, failed, first]
    assert listed("mine-1", "--unfinished") == [running]
    assert listed("mine-1", "--failed") == [failed]
    assert listed("mine-1", "--all", "--limit", "1") == [running]
    holdfast.records.volumes.create(id="quiet-1", status="error", size=1, project_id="p")
    assert listed("quiet") == []
    (error,) = holdfast("flow", "list", "--volume", "nothing").errors
    assert error.startswith("volume nothing does not exist; ")


def test_a_volume_in_error_is_shown_with_the_reason(holdfast: Shell, flows: Flows) -> None:
    for name, status in (("bad-1", "error"), ("odd-1", "error"), ("good-1", "available")):
        holdfast.records.volumes.create(id=name, status=status, size=1, project_id="p", host="h@b")
    failed = flows.make("bad-1", begin="REVERTED", allocate="REVERTED")
    flows.make("good-1", begin="REVERTED", allocate="REVERTED")

    def shown(name: str) -> dict[str, str]:
        rows: dict[str, str] = holdfast("volume", "show", name, "-f", "json").rows
        return {key: value for key, value in rows.items() if key.startswith("error_")}

    assert shown("bad-1") == {
        "error_reason": "create_volume failed: ValueError: the shelf is gone",
        "error_flow": f"see: holdfast flow show {failed}",
    }
    assert shown("odd-1")["error_reason"].startswith("unknown: no journal entry here; see the host")
    assert shown("good-1") == {}


def test_a_graph_marks_the_states(holdfast: Shell, flows: Flows) -> None:
    flow = flows.make("failed-2", begin="REVERTED", allocate="REVERTED")
    text = holdfast("flow", "graph", flow).out
    dot = holdfast("flow", "graph", flow, "--format", "dot").out
    mermaid = holdfast("flow", "graph", flow, "--format", "mermaid").out

    assert "[<] begin     REVERTED  0.250 s" in text
    assert "[!] allocate  FAILED" in text
    assert "[ ] finish    PENDING" in text
    assert '"allocate" [label="allocate\\nFAILED\\n0.250 s", fillcolor=salmon];' in dot
    assert '"begin" -> "allocate";' in dot
    assert "style allocate fill:salmon" in mermaid
    assert "begin --> allocate" in mermaid


@pytest.mark.parametrize(
    "name", ["volume.create", "flows.volume.connections.connection:initialize"]
)
def test_a_factory_can_be_drawn_by_its_name(holdfast: Shell, name: str) -> None:
    ran = holdfast("flow", "graph", name)

    assert ran.status == 0
    assert "[ ] " in ran.out


def test_only_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    flow, known = (
        tasks.build("flows.volume.create:flow", {}),
        {"begin": tasks.Task("begin", "RUNNING")},
    )
    on_paper = "\n".join(flow_graph.text(flow, known, Colour(io.StringIO())))
    on_screen = "\n".join(flow_graph.text(flow, known, Colour(Terminal())))
    monkeypatch.setenv("NO_COLOR", "1")
    asked_not_to = "\n".join(flow_graph.text(flow, known, Colour(Terminal())))

    assert "\033[36m[>] begin" in on_screen
    assert "\033" not in on_paper + asked_not_to


def _failure() -> Failure:
    try:
        raise ValueError("the shelf is gone")
    except ValueError:
        return Failure()


def test_the_status_counts_entries_of_each_kind(
    holdfast: Shell, journal: Journal, flows: Flows
) -> None:
    before = holdfast("journal", "status", "-f", "json").rows
    flows.make("unfinished", allocate="RUNNING")
    flows.make("finished", begin="SUCCESS", allocate="SUCCESS", finish="SUCCESS")
    flows.make("failed", allocate="REVERTED")
    journal.rejected.add("one", "no_method", "no such method")
    now = holdfast("journal", "status", "-f", "json").rows
    kinds = ("unfinished", "finished", "failed", "rejected")

    assert {name: now[name] - before[name] for name in kinds} == dict.fromkeys(kinds, 1)
    assert now["failed_bytes"] > before["failed_bytes"]
    assert now["failed_bytes_limit"] == 256 * 2**20
    assert now["file"] == str(holdfast.conf.journal.connection).removeprefix("sqlite:///")
    assert now["file_bytes"] > 0


def test_the_status_counts_failures_that_were_removed(
    holdfast: Shell, journal: Journal, flows: Flows
) -> None:
    before = holdfast("journal", "status", "-f", "json").rows
    for number in range(3):
        flows.make(f"failed-{number}", allocate="REVERTED")
    journal.failures.most = lambda: 0
    journal.prune_failures()
    now = holdfast("journal", "status", "-f", "json").rows

    assert now["failed_bytes"] == 0
    assert now["removed_failures"] - before["removed_failures"] >= 3
    assert now["removed_bytes"] - before["removed_bytes"] > 3 * 100
    assert now["last_removal"] > before["last_removal"]


def test_a_journal_of_an_earlier_version_has_a_status(holdfast: Shell, journal: Journal) -> None:
    path = str(holdfast.conf.journal.connection).removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE holdfast_removed_failures")
    ran = holdfast("journal", "status", "-f", "json")

    assert ran.rows["removed_failures"] == 0
    assert ran.rows["last_removal"] == ""
