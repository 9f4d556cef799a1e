# SPDX-License-Identifier: Apache-2.0
"""Files of another user: a start ends with the name of the user and the remedy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from tests.unit.other_user import AS_ROOT, OTHER, other_user
from worker import conf as config
from worker import file_access
from worker.cmd import backup, volume
from worker.conf import database_files
from worker.conf.check import config_files
from worker.conf.check.problems import ConfigError

pytestmark = AS_ROOT

CONFIG = """\
[DEFAULT]
state_path = {folder}/state
transport_url = kombu+memory://
enabled_backends = a, b
[a]
volume_driver = noop
[b]
volume_driver = noop
"""


@pytest.fixture
def folder(open_folder: Path) -> Path:
    """A directory with a configuration and a state path of the other user."""
    (open_folder / "state").mkdir()
    os.chown(open_folder / "state", OTHER, OTHER)
    (open_folder / "holdfast.conf").write_text(CONFIG.format(folder=open_folder))
    return open_folder


@pytest.mark.parametrize("program", [volume, backup])
@pytest.mark.parametrize(
    ("section", "file", "mode"),
    [
        ("database", "holdfast.sqlite", 0o640),
        ("database", "holdfast.sqlite-wal", 0o644),
        ("journal", "journal.sqlite", 0o644),
        ("journal", "journal.sqlite-shm", 0o640),
    ],
)
def test_a_start_ends_with_the_file_its_user_and_the_remedy(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: Any,
    section: str,
    file: str,
    mode: int,
) -> None:
    place = folder / "state" / file
    place.touch()
    place.chmod(mode)
    monkeypatch.setattr(program, "_serve", lambda *_args: pytest.fail("it started"))
    check = database_files.require_writable

    def as_other_user(conf: cfg.ConfigOpts) -> None:
        with other_user():  # who may not read where tox keeps the libraries
            check(conf)

    monkeypatch.setattr(database_files, "require_writable", as_other_user)
    with pytest.raises(SystemExit) as refused:
        program.main([f"--config-file={folder}/holdfast.conf"])

    us, text = file_access.user_of(OTHER), str(refused.value.__cause__)
    assert text.startswith(f"[{section}] connection: user {us} cannot write {place} of user root, ")
    assert text.endswith(f": chown {us}: {folder}/state/{file.partition('-')[0]}*")


def test_a_configuration_that_may_be_there_is_not_replaced_by_defaults(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_files, "SYSTEM", str(folder))
    (folder / "holdfast").mkdir(0o750)

    with other_user(), pytest.raises(ConfigError) as refused:
        config.load([], prog="holdfast")

    wanted = f"{folder}/holdfast/holdfast.conf: Permission denied: run this as root, or as the user"
    assert str(refused.value).startswith(wanted)


def test_a_configuration_that_cannot_be_read_is_an_error(folder: Path) -> None:
    (folder / "holdfast.conf").chmod(0o640)

    with other_user(), pytest.raises(ConfigError, match="Permission denied: run this as root, or"):
        config.load([f"--config-file={folder}/holdfast.conf"], prog="holdfast")


def test_a_directory_of_the_configuration_that_cannot_be_read_is_an_error(folder: Path) -> None:
    (folder / "conf.d").mkdir(0o750)

    with other_user(), pytest.raises(ConfigError, match="conf.d: Permission denied: run this as"):
        config.load([f"--config-dir={folder}/conf.d"], prog="holdfast")
