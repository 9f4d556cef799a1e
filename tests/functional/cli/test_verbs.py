# SPDX-License-Identifier: Apache-2.0
"""The verbs of operators on each database: rows, exit statuses, and keys of JSON."""

from __future__ import annotations

import io
import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from oslo_utils import timeutils

from flows.host import freeze
from tests.unit.cli.conftest import CONFIG
from worker import conf as config
from worker.cli.access import Access
from worker.cli.main import Holdfast
from worker.conf import state_path
from worker.db import sync
from worker.db.database import Database
from worker.db.records import Records
from worker.journal.entries.insertions import flow_id
from worker.journal.journal import Journal
from worker.rpc.operation import Operation
from worker.service import volume

HOST, OTHER = "cli@local", "new@local"
PROJECT = "p1"
SNAKE_CASE = re.compile(r"[a-z][a-z0-9_]*")

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def conf(database_url: str, tmp_path: Path) -> Iterator[cfg.ConfigOpts]:
    """A configuration with its database made, and a service row that is up."""
    place = tmp_path / "holdfast.conf"
    database = f"[database]\nconnection = {database_url}\n"
    place.write_text(CONFIG.format(folder=tmp_path) + database)
    loaded = config.load([f"--config-file={place}"], prog="holdfast")
    state_path.prepare(loaded)
    sync.sync(Database.from_conf(loaded))
    yield loaded
    cfg.CONF.reset()


@pytest.fixture
def records(conf: cfg.ConfigOpts) -> Records:
    return Records.from_conf(conf, Database.from_conf(conf))


@pytest.fixture
def holdfast(conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command with ``-f json``; returns its exit status and the rows."""
    monkeypatch.setattr(Access, "conf", conf)
    monkeypatch.setattr(Holdfast, "configure_logging", lambda self: None)
    monkeypatch.setattr(logging.getLogger("holdfast"), "level", logging.ERROR)

    def run(*words: str) -> tuple[int, Any]:
        app = Holdfast()
        app.stdout, app.stderr = io.StringIO(), io.StringIO()
        status = app.run([*words, "-f", "json"])
        text = app.stdout.getvalue()
        rows = json.loads(text) if text.strip() else []
        for row in rows if isinstance(rows, list) else [rows]:
            assert all(SNAKE_CASE.fullmatch(key) for key in row), row
        return status, rows

    return run


def service(records: Records, host: str) -> None:
    """Insert the row of a service that is down."""
    made = records.services.ensure(
        host=host,
        binary="cinder-volume",
        topic="cinder-volume",
        availability_zone="nova",
        rpc_version="3.20",
        object_version="1.39",
        cluster=None,
    )
    records.services.update(made.id, updated_at=timeutils.utcnow().replace(year=2020))


def outcomes(rows: Any) -> set[str]:
    return {row["outcome"] for row in rows}


def test_rows_of_services_and_resources(holdfast: Run, records: Records) -> None:
    for host in ("old@local", OTHER):
        service(records, host)
    made = records.volumes.create(
        size=1, status="error", host="old@local#pool", project_id=PROJECT, user_id="u"
    )

    assert outcomes(holdfast("service", "disable", OTHER, "--reason", "disk")[1]) == {"disabled"}
    assert outcomes(holdfast("service", "enable", OTHER)[1]) == {"enabled"}
    assert holdfast("service", "enable", "none@such")[0] == 1
    moved = holdfast("volume", "update-host", "--from", "old@local", "--to", OTHER)
    assert moved[0] == 0 and records.volumes.get(made.id).host == f"{OTHER}#pool"
    assert holdfast("service", "remove", "old@local")[0] == 0
    assert not records.services.list(host="old@local")
    assert holdfast("volume", "reset-status", made.id, "--to", "available", "--force")[0] == 0
    assert records.volumes.get(made.id).status == "available"
    assert holdfast("quota", "check")[0] in (0, 1)
    assert holdfast("quota", "sync")[0] == 0
    assert holdfast("quota", "check")[0] == 0
    records.volumes.destroy(made.id)
    assert holdfast("db", "purge", "30", "--dry-run")[0] == 0
    assert holdfast("db", "purge", "0")[0] == 0
    assert holdfast("cluster", "list")[0] == 0


def test_a_backend_is_frozen_thawed_and_not_failed_over(
    conf: cfg.ConfigOpts, holdfast: Run
) -> None:
    running = volume.service(conf, "local")
    running.start()
    try:
        assert holdfast("top")[0] == 0 and holdfast("message", "list")[0] == 0
        assert outcomes(holdfast("host", "freeze", HOST)[1]) == {"frozen"}
        status, rows = holdfast("host", "freeze", HOST)
        assert (status, outcomes(rows)) == (1, {"refused"})
        assert outcomes(holdfast("host", "thaw", HOST)[1]) == {"thawed"}
        assert holdfast("host", "failover", HOST, "--to", "none", "--wait", "60")[0] == 1
    finally:
        running.stop(5)


def test_a_rejected_message_becomes_an_operation_on_one_host(database_url: str) -> None:
    """On a journal that hosts share, of several attempts one succeeds; others are told so."""
    one, other = Journal(database_url), Journal(database_url)
    one.upgrade()
    message, kept = uuid.uuid4().hex, {"message": {"method": "freeze_host"}}
    one.rejected.add(message, "freeze_host", "UnknownMethod: it was", kept, slot="h1@b/0")
    flow, operation = flow_id(message), Operation(freeze.freeze, ("backend", "b"), {}, method="m")
    number = other.requests.ask("h2@b/0", flow, "retry")
    assert [entry.id for entry in one.requests.pending("h2@b/0")] == [number]

    assert other.rejected.accept(flow, "h2@b/0", operation)
    assert not one.rejected.accept(flow, "h1@b/0", operation)
    assert not one.rejected.drop(flow)
    assert [detail.uuid for detail in one.unfinished("h2@b/0")] == [flow]
    assert one.accept(message, "h1@b/0", operation) is None  # delivered once more
    one.close()
    other.close()
