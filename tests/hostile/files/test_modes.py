# SPDX-License-Identifier: Apache-2.0
"""Files and directories of a service that starts without a mask, or in a directory for all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.volume.files import Directory
from tests.functional.cloud import with_tables
from tests.functional.service import Service, services
from worker import file_modes
from worker.cli import main as command_line
from worker.conf import ConfigError, state_path

MODULES = {"volume": "worker.cmd.volume", "backup": "worker.cmd.backup"}
LOST = "rabbit://nobody:none@127.0.0.1:1/"


@pytest.fixture
def without_mask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short path, for sockets."""
    with tempfile.TemporaryDirectory(prefix="hf-") as directory:
        yield Path(directory)


def for_others(place: Path) -> dict[str, str]:
    """Return what everybody may read, write or enter below a directory."""
    found = {}
    for path in place.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode & 0o007 and not path.is_symlink():
            found[str(path.relative_to(place))] = oct(mode)
    return found


@pytest.mark.parametrize("kind", MODULES)
def test_a_service_makes_nothing_for_everybody(kind: str, place: Path, without_mask: None) -> None:
    database = f"sqlite:///{place}/cinder.sqlite"
    with_tables(database).dispose()
    with services(place) as make:
        service: Service = make(
            bus=LOST,
            database=database,
            backends={"b1": {"volume_driver": "local", "local_export": "nbd"}},
            sections={
                "DEFAULT": {
                    "log_file": place / "service" / "state" / "service.log",
                    "backup_posix_path": place / "service" / "state" / "backups",
                },
            },
            module=MODULES[kind],
        )
        state = service.directory / "state"
        state.rmdir()
        service.launch()
        log = state / "service.log"
        service._wait(lambda: log.exists() and "bus is away" in log.read_text(), 60, "the bus")
        made = {path.name for path in state.rglob("*")}

        assert {"journal.sqlite", "service.log"} <= made
        assert for_others(state) == {}
        assert stat.S_IMODE(state.stat().st_mode) & 0o007 == 0


def test_a_command_sets_the_mask(without_mask: None) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["--help"])

    assert os.umask(0) == 0o027


def test_a_stricter_mask_stays(without_mask: None) -> None:
    os.umask(0o077)

    file_modes.restrict()

    assert os.umask(0) == 0o077


@pytest.fixture
def conf(tmp_path: Path) -> Any:
    made = SimpleNamespace(state_path=str(tmp_path / "state"), config_dir=[], config_file=[])
    Path(made.state_path).mkdir()
    return made


@pytest.mark.parametrize("mode", [0o777, 0o773])
def test_a_state_path_for_everybody_is_restricted(conf: Any, mode: int) -> None:
    os.chmod(conf.state_path, mode)

    state_path.prepare(conf)

    assert stat.S_IMODE(os.stat(conf.state_path).st_mode) == mode & ~0o002


def test_a_state_path_for_everybody_of_another_user_is_refused(
    conf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chmod(conf.state_path, 0o777)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)

    with pytest.raises(ConfigError, match=f"chmod o-w {conf.state_path}"):
        state_path.prepare(conf)


def test_a_directory_of_volumes_for_everybody_is_restricted(tmp_path: Path) -> None:
    (tmp_path / "volumes").mkdir()
    os.chmod(tmp_path / "volumes", 0o777)

    Directory(tmp_path / "volumes")

    assert stat.S_IMODE((tmp_path / "volumes").stat().st_mode) == 0o775


def test_volumes_are_for_their_owner(tmp_path: Path, without_mask: None) -> None:
    files = Directory(tmp_path / "volumes")
    files.create("volume-1", 4096)
    files.copy("volume-1", "volume-2")

    assert for_others(tmp_path) == {}
