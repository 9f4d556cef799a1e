# SPDX-License-Identifier: Apache-2.0
"""Commands and files of another user: permission is not absence, and no file is made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.other_user import AS_ROOT, OTHER, other_user
from worker import file_access


@pytest.fixture
def place(holdfast: Shell, open_folder: Path) -> Iterator[Path]:
    """The file of the database and of the journal, which does not exist yet."""
    (open_folder / "state").mkdir()
    path = open_folder / "state" / "x.sqlite"
    for group in ("database", "journal"):
        holdfast.conf.set_override("connection", f"sqlite:///{path}", group=group)
    yield path
    for group in ("database", "journal"):
        holdfast.conf.clear_override("connection", group=group)


@AS_ROOT
@pytest.mark.parametrize(
    "words", ["flow list", "volume list", "db check", "journal check", "journal replace"]
)
def test_a_file_that_cannot_be_read_is_not_called_absent(
    holdfast: Shell, place: Path, words: str
) -> None:
    holdfast(*words.split())  # the other user may not read the modules
    place.touch()
    place.parent.chmod(0o700)
    with other_user():
        hidden = holdfast(*words.split())
    place.parent.chmod(0o755)
    place.chmod(0o600)
    with other_user():
        closed = holdfast(*words.split())

    assert (hidden.status, closed.status) == (1, 1)
    us = file_access.user_of(OTHER)
    assert f"{place} cannot be read by user {us}: Permission denied: run" in hidden.errors[-1]
    assert f"{place} of user root, mode 600, cannot be read by user {us}: run" in closed.errors[-1]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("volume list", "database"),
        ("db check", "database"),
        ("flow list", "journal"),
        ("journal check", "journal"),
        ("journal status", "journal"),
    ],
)
def test_a_command_that_reads_makes_no_file(
    holdfast: Shell, place: Path, words: str, kind: str
) -> None:
    ran = holdfast(*words.split())

    assert ran.status == 1
    advice = "start the service, or run holdfast db sync"
    assert ran.errors[-1] == f"there is no {kind} {place}: {advice}"
    assert not place.exists()


@AS_ROOT
def test_root_makes_no_files_in_the_directory_of_the_service(holdfast: Shell, place: Path) -> None:
    os.chown(place.parent, OTHER, OTHER)
    ran = holdfast("db", "sync")

    us = file_access.user_of(OTHER)
    assert ran.errors[-1].endswith(
        f"run this as the user {us}: runuser -u {us} -- holdfast db sync"
    )
    assert not place.exists()


def test_without_a_configuration_the_error_says_so(
    holdfast: Shell, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdfast.conf, "_namespace", None)
    ran = holdfast("flow", "list")

    assert ran.errors[-1].endswith("; no configuration file was found, see --config-file")
