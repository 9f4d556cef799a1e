# SPDX-License-Identifier: Apache-2.0
"""Commands in this process, with or without a service in this process too."""

from __future__ import annotations

import io
import json
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from worker import conf as config
from worker.cli.access import Access
from worker.cli.main import Holdfast
from worker.conf import state_path
from worker.db import sync
from worker.db.database import Database
from worker.db.records import Records
from worker.journal.journal import Journal
from worker.service import volume
from worker.service.start_stop import Service

CONFIG = """\
[DEFAULT]
host = cli
state_path = {folder}/state
enabled_backends = local
transport_url = kombu+memory://
rpc_response_timeout = 5
quota_volumes = 30
quota_gigabytes = 50
[journal]
connection = sqlite:///{folder}/state/journal.sqlite
[local]
volume_driver = local
local_path = {folder}/volumes
local_path_shared = true
"""


class Ran:
    """The output and the exit status of a command."""

    def __init__(self, status: int, out: str, errors: list[str]) -> None:
        self.status, self.out, self.errors = status, out, errors

    @property
    def rows(self) -> Any:
        """What ``-f json`` printed."""
        return json.loads(self.out)


class Shell:
    """Runs commands; ``conf`` and ``records`` are theirs, too."""

    def __init__(self, conf: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture) -> None:
        self.conf = conf
        self.records = Records.from_conf(conf, Database.from_conf(conf))
        self._caplog = caplog

    def __call__(self, *words: str) -> Ran:
        self._caplog.clear()
        app = Holdfast()
        app.stdout, app.stderr = io.StringIO(), io.StringIO()
        status = app.run(list(words))
        told = [r.getMessage() for r in self._caplog.records if r.name == "holdfast"]
        return Ran(status, app.stdout.getvalue(), told + app.stderr.getvalue().splitlines())


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cfg.ConfigOpts]:
    """A configuration, with its database made."""
    folder = tmp_path_factory.mktemp("cli")
    place = folder / "holdfast.conf"
    place.write_text(CONFIG.format(folder=folder))
    loaded = config.load([f"--config-file={place}"], prog="holdfast")
    state_path.prepare(loaded)
    sync.sync(Database.from_conf(loaded))
    yield loaded
    cfg.CONF.reset()


@pytest.fixture(scope="module")
def service(conf: cfg.ConfigOpts) -> Iterator[Service]:
    """A running service of the backend ``local``."""
    running = volume.service(conf, "local")
    running.start()
    yield running
    running.stop(5)


@pytest.fixture
def holdfast(
    conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Shell:
    """Runs commands on the configuration of this module."""
    monkeypatch.setattr(Access, "conf", conf)
    monkeypatch.setattr(Holdfast, "configure_logging", lambda self: None)
    caplog.set_level(logging.ERROR)
    return Shell(conf, caplog)


@pytest.fixture
def backend(conf: cfg.ConfigOpts) -> Path:
    """Where the volumes are."""
    return Path(conf.state_path).parent / "volumes"


@pytest.fixture
def journal(conf: cfg.ConfigOpts) -> Iterator[Journal]:
    """The journal of the commands."""
    opened = Journal(conf.journal.connection)
    opened.upgrade()
    yield opened
    opened.close()


@pytest.fixture
def b() -> str:
    """The name of a backend that no other test has, as the database is theirs, too."""
    return uuid.uuid4().hex[:8]
