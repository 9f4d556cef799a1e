# SPDX-License-Identifier: Apache-2.0
"""holdfast explain: every kind of id leads to one document, which is printed as a page."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from oslo_utils import timeutils
from taskflow import states
from taskflow.persistence.models import TaskDetail
from taskflow.types.failure import Failure

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.records import Record
from flows import messages
from flows.volume import create, delete
from tests.unit.cli.conftest import Shell
from worker.journal.journal import Journal
from worker.journal.operator_requests import RequestResult
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

HOST = "cli@local#local"
SLOT = "cli@local/0"


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Print pages of full width, whichever terminal the tests have."""
    monkeypatch.setenv("COLUMNS", "120")


def volume(holdfast: Shell, **columns: object) -> Record:
    """Make a volume with an id that no other test has."""
    row = {"size": 1, "host": HOST, "project_id": "p", "display_name": "data", **columns}
    return holdfast.records.volumes.create(id=str(uuid.uuid4()), **row)


def request_of(volume_id: str) -> RequestContext:
    """Return the request of a volume's operation."""
    return RequestContext({"request_id": f"req-r{volume_id}", "project_id": "p"})


def running(journal: Journal, volume_id: str, message: str = "", slot: str = SLOT) -> str:
    """Accept the creation of a volume, whose first step is done, and return the flow."""
    operation = Operation(
        create.flow,
        ("volume", volume_id),
        {"volume_id": volume_id},
        method="create_volume",
        request=request_of(volume_id),
    )
    detail = journal.accept(message or uuid.uuid4().hex, slot, operation)
    assert detail is not None
    progress = journal.progress(detail)
    for name, state in (("begin", states.SUCCESS), ("allocate", states.RUNNING)):
        task = TaskDetail(name, uuid.uuid4().hex)
        task.state, task.meta = state, {"began": 1000.0, "ended": 1000.5}
        detail.add(task)
        progress.update_atom_details(task)
    progress.flush()
    return str(detail.uuid)


def fail(journal: Journal, flow: str, left: dict[str, str] | None = None) -> None:
    """End a flow with an error of its driver in the step ``allocate``."""
    detail = journal.load(flow)
    progress = journal.progress(detail)
    for task in detail:
        task.state = states.REVERTED
        if task.name == "allocate":
            task.failure = _failure()
        progress.update_atom_details(task)
    journal.finish(detail, progress, _failure(), left)


def _failure() -> Failure:
    try:
        create_volume()
    except VolumeBackendAPIException:
        return Failure()
    raise AssertionError


def create_volume() -> None:
    """Fail as a driver does."""
    raise VolumeBackendAPIException("the shelf is gone, password=s3cret")


def failed(holdfast: Shell, journal: Journal) -> tuple[str, str]:
    """Make a volume whose creation has failed; return its id and that of the flow."""
    made = volume(holdfast, status="error", provider_auth="CHAP u s3cret")
    flow = running(journal, made.id)
    fail(journal, flow)
    holdfast.records.messages.create(
        request_of(made.id),
        made,
        action=messages.CREATE_VOLUME,
        detail=messages.DRIVER_FAILED_CREATE,
    )
    return made.id, flow


def explain(holdfast: Shell, wanted: str) -> dict[str, object]:
    """Return the document about an id."""
    ran = holdfast("explain", wanted, "-f", "json", "--no-log")
    assert ran.status == 0, ran.errors
    found: dict[str, object] = ran.rows
    return found


def test_a_failure_is_explained_from_its_row_to_its_step(holdfast: Shell, journal: Journal) -> None:
    volume_id, flow = failed(holdfast, journal)
    document = holdfast("explain", volume_id[:13], "-f", "json", "--no-log").rows
    (operation,) = document["operations"]
    tasks = {task["name"]: task for task in operation["tasks"]}

    assert document["subject"] == {"kind": "volume", "id": volume_id}
    assert "is error; create_volume failed in its step allocate" in document["summary"]
    assert (operation["flow"], operation["state"]) == (flow, "REVERTED")
    assert (tasks["begin"]["state"], tasks["allocate"]["state"]) == ("REVERTED", "FAILED")
    assert tasks["allocate"]["driver_call"].startswith("_failure, at ")
    assert [one["text"] for one in document["user_messages"]] == [
        "create volume: driver failed create"
    ]
    assert document["next"][0] == ("Nothing by itself: it stays error until a request changes it.")
    assert f"holdfast flow resume {flow}" in [one["command"] for one in document["actions"]]


def test_no_secret_is_in_the_document(holdfast: Shell, journal: Journal) -> None:
    volume_id, _flow = failed(holdfast, journal)

    assert "s3cret" not in holdfast("explain", volume_id, "-f", "json", "--no-log").out
    assert "s3cret" not in holdfast("explain", volume_id, "--no-log").out


def test_every_kind_of_id_leads_to_the_operation(holdfast: Shell, journal: Journal) -> None:
    made, message = volume(holdfast), uuid.uuid4().hex
    flow = running(journal, made.id, message)
    wanted = {
        made.id: "volume",
        flow: "flow",
        message: "flow",
        f"req-r{made.id}": "request",
        f"r{made.id}"[:20]: "request",
    }
    found = {one: explain(holdfast, one) for one in wanted}

    assert {one: document["subject"]["kind"] for one, document in found.items()} == wanted  # type: ignore[index]
    for document in found.values():
        assert [one["flow"] for one in document["operations"]] == [flow]  # type: ignore[attr-defined]
        assert document["resource"]["id"] == made.id  # type: ignore[index]


@pytest.mark.parametrize("kind", ["snapshots", "backups", "groups", "group_snapshots"])
def test_other_resources_are_found(holdfast: Shell, kind: str) -> None:
    holdfast.records.groups.create(id="explain-group", host=HOST)
    owners = {"snapshots": {"volume_id": volume(holdfast).id}, "backups": {"volume_id": "v"}}
    owners["group_snapshots"] = {"group_id": "explain-group"}
    rows = getattr(holdfast.records, kind)
    made = rows.create(id=str(uuid.uuid4()), status="error", **owners.get(kind, {}))
    document = explain(holdfast, made.id)

    assert document["subject"] == {"kind": kind.removesuffix("s"), "id": made.id}
    assert document["resource"]["status"] == "error"  # type: ignore[index]


def test_a_deleted_volume_is_explained_by_its_last_operation(
    holdfast: Shell, journal: Journal
) -> None:
    made = volume(holdfast, status="deleting")
    holdfast.records.volumes.destroy(made.id)
    operation = Operation(
        delete.flow,
        ("volume", made.id),
        {"volume_id": made.id, "cascade": False},
        method="delete_volume",
        request=request_of(made.id),
    )
    detail = journal.accept(uuid.uuid4().hex, SLOT, operation)
    assert detail is not None
    journal.finish(detail, journal.progress(detail), None)
    document = explain(holdfast, made.id)

    assert document["resource"]["deleted"] is True  # type: ignore[index]
    assert document["next"] == ["Nothing: it is deleted."]
    assert document["actions"] == []


def test_a_running_operation_can_be_cancelled(holdfast: Shell, journal: Journal) -> None:
    made = volume(holdfast, status="creating", host="nowhere@x#x")
    flow = running(journal, made.id)
    document = explain(holdfast, flow)
    commands = [one["command"] for one in document["actions"]]  # type: ignore[attr-defined]

    assert document["next"][0] == (  # type: ignore[index]
        f"create_volume ({flow}) continues when a process of {SLOT} starts: nowhere@x is down."
    )
    assert commands == [f"holdfast flow cancel {flow}"]


def test_a_transient_status_without_an_operation_is_named(holdfast: Shell) -> None:
    made = volume(holdfast, status="extending")
    document = explain(holdfast, made.id)

    assert document["next"][0].startswith("The status extending is that of an operation, but")  # type: ignore[index]


def test_requests_of_operators_and_failed_reverts_are_shown(
    holdfast: Shell, journal: Journal
) -> None:
    made = volume(holdfast, status="error")
    flow = running(journal, made.id)
    fail(journal, flow, {"allocate": "OSError: still there"})
    number = journal.requests.ask(SLOT, flow, "revert")
    journal.requests.answer(number, RequestResult(False, "not now"))
    page = holdfast("explain", flow, "--no-log").out

    assert "not undone, allocate: OSError: still there" in page
    assert ": revert: not now" in page
    assert f"holdfast flow revert {flow}" in page


def test_the_service_of_the_host_is_described(holdfast: Shell) -> None:
    name = uuid.uuid4().hex[:8]
    row = holdfast.records.services.ensure(
        host=f"cli@{name}",
        binary="cinder-volume",
        topic="cinder-volume",
        availability_zone="nova",
        rpc_version="3.20",
        object_version="1.39",
    )
    holdfast.records.services.update(row.id, disabled=True, disabled_reason="repair")
    made = volume(holdfast, status="available", host=f"cli@{name}#p")
    document = explain(holdfast, made.id)
    service = document["resource"]["service"]  # type: ignore[index]

    assert (service["state"], service["disabled"]) == ("up", True)
    assert document["next"] == [
        "Nothing runs: it stays available until a request comes.",
        f"cli@{name} is disabled (repair): schedulers choose it for nothing new.",
    ]


def test_lines_of_the_log_and_calls_of_drivers_are_found(
    holdfast: Shell, journal: Journal, tmp_path: Path
) -> None:
    made = volume(holdfast, status="error")
    head = f"{timeutils.utcnow()} 1"
    lines = (
        f"{head} DEBUG worker.call_log [-] Array.create_volume(volume {made.id}) begins",
        f"{head} DEBUG worker.call_log [req-r{made.id}] Array.create_volume raised after 0.500 s: "
        "OSError: gone logged_call /x.py:46",
        f"{head} INFO worker.operation [None req-r{made.id} - -] create_volume started",
        f"{head} INFO worker.operation [None req-other - -] create_volume started",
    )
    running(journal, made.id)
    (tmp_path / "worker.log").write_text("\n".join(lines) + "\n")
    holdfast.conf.set_override("log_file", str(tmp_path / "worker.log"))
    try:
        document = holdfast("explain", made.id, "-f", "json").rows
        page = holdfast("explain", made.id).out
    finally:
        holdfast.conf.clear_override("log_file")

    assert [one["line"] for one in document["log"]] == list(lines[:3])
    assert document["driver_calls"] == [
        {
            "call": "Array.create_volume",
            "arguments": f"volume {made.id}",
            "outcome": "raised",
            "took_s": 0.5,
            "failure": "OSError: gone",
        }
    ]
    assert "INFO worker.operation create_volume started" in page
    assert "raised after 0.500 s: OSError: gone" in page


def test_a_secret_in_a_line_of_the_log_is_masked(holdfast: Shell, tmp_path: Path) -> None:
    made = volume(holdfast, status="error")
    (tmp_path / "worker.log").write_text(f"volume {made.id}: password=s3cret\n")
    holdfast.conf.set_override("log_file", str(tmp_path / "worker.log"))
    try:
        ran = holdfast("explain", made.id, "-f", "json")
    finally:
        holdfast.conf.clear_override("log_file")

    assert len(ran.rows["log"]) == 1
    assert "s3cret" not in ran.out


def test_the_database_alone_explains_something(holdfast: Shell, tmp_path: Path) -> None:
    made = volume(holdfast, status="available")
    place = f"sqlite:///{tmp_path}/no.sqlite"
    holdfast.conf.set_override("connection", place, group="journal")
    try:
        document = explain(holdfast, made.id)
    finally:
        holdfast.conf.clear_override("connection", group="journal")

    assert document["operations"] == []
    assert document["gaps"][0].startswith("there is no journal ")  # type: ignore[index]


def test_lines_of_a_page_are_not_longer_than_the_terminal(
    holdfast: Shell, journal: Journal
) -> None:
    volume_id, _flow = failed(holdfast, journal)
    page = holdfast("explain", volume_id, "--no-log").out
    head, _, commands = page.partition("Possible commands")

    assert max(map(len, head.splitlines())) <= 120
    assert "holdfast flow resume" in commands


@pytest.mark.parametrize("wanted", ["abc", "feedfeed"])
def test_an_unknown_id_ends_with_an_error(holdfast: Shell, wanted: str) -> None:
    ran = holdfast("explain", wanted)

    assert ran.status == 1
    assert wanted in ran.errors[0]
