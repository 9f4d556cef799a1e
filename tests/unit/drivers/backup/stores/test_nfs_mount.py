# SPDX-License-Identifier: Apache-2.0
"""The share of backups is mounted once, with its options, or a clear error says why not."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drivers.backup.nfs import NfsDriver
from drivers.backup.stores.nfs_mount import NfsMount
from drivers.interface.errors import BackupDriverException
from tests.backups import settings

SHARE = "filer.example:/backups"
NAME = "7febbda1ed1e462cd81268301032e52a"
"""The MD5 of the share."""

Make = Callable[..., NfsMount]


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``mount`` in PATH that notes its arguments; a directory counts as mounted after it."""
    programs, notes = tmp_path / "bin", tmp_path / "mounted"
    programs.mkdir()
    program = programs / "mount"
    program.write_text(
        f"#!/bin/sh\nread failures < {tmp_path}/failures\n"
        f'[ -n "$failures" ] && echo "${{failures#x}}" > {tmp_path}/failures && '
        f'echo "mount.nfs: access denied by server" >&2 && exit 32\n'
        f'echo "$@" >> {notes}\n'
    )
    program.chmod(0o755)
    (tmp_path / "failures").write_text("\n")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(
        os.path, "ismount", lambda path: notes.exists() and str(path) in notes.read_text()
    )
    return notes


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(share: str = SHARE, **more: object) -> NfsMount:
        return NfsMount(share, tmp_path / "mnt", root_helper="env", **more)  # type: ignore[arg-type]

    return make


def refused_at_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, after: str) -> Path:
    """Refuse access until a command with a word has run; return the file of the commands."""
    ran = tmp_path / "ran"
    ran.write_text("")
    for name in ("chgrp", "chmod"):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\necho "{name} $@" >> {ran}\n')
        program.chmod(0o755)
    monkeypatch.setattr(os, "access", lambda *_: after in ran.read_text())
    return ran


def test_it_is_mounted_where_cinder_mounts_it(mounted: Path, make: Make) -> None:
    mount = make(options="vers=4.1,ro")

    assert mount.require() == mount.place
    assert mounted.read_text() == f"-t nfs -o vers=4.1,ro {SHARE} {mount.place}\n"
    assert mount.place.name == NAME


@pytest.mark.parametrize(
    "options", ['context="system_u:object_r:nfs_t:s0",soft', "addr=[fe80::1%eth0]", "a=1-2"]
)
def test_options_go_to_mount_as_they_are(mounted: Path, make: Make, options: str) -> None:
    mount = make(options=options)
    mount.require()

    assert mounted.read_text() == f"-t nfs -o {options} {SHARE} {mount.place}\n"


@pytest.mark.parametrize("mounted_before", [False, True])
def test_a_share_of_root_is_given_to_the_group(
    mounted: Path,
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mounted_before: bool,
) -> None:
    mount, ran = make(), refused_at_first(monkeypatch, tmp_path, after="g+rwX")
    if mounted_before:
        mount.place.mkdir(parents=True)
        mounted.write_text(f"{mount.place}\n")

    assert mount.require() == mount.place
    assert ran.read_text().splitlines() == [
        f"chgrp -R {os.getegid()} {mount.place}",
        f"chmod -R g+rwX {mount.place}",
    ]

    mount.require()
    assert len(ran.read_text().splitlines()) == 2


def test_a_share_that_stays_read_only_is_an_error(
    mounted: Path, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused_at_first(monkeypatch, tmp_path, after="never")

    with pytest.raises(BackupDriverException, match="cannot be written by group"):
        make().require()


def test_processes_that_start_together_mount_it_once(mounted: Path, make: Make) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: make().require(), range(8)))

    assert len(mounted.read_text().splitlines()) == 1


def test_a_failure_is_tried_again(mounted: Path, make: Make, tmp_path: Path) -> None:
    (tmp_path / "failures").write_text("xx\n")
    with pytest.raises(BackupDriverException, match="access denied by server"):
        make(attempts=1).require()

    make(attempts=2).require()


@pytest.mark.parametrize("share", ["", "backups", "/backups", "-o:/x", "host:/a b", "host:x"])
def test_something_else_is_no_share(mounted: Path, make: Make, share: str) -> None:
    with pytest.raises(BackupDriverException, match="is no share, such as host:/backups"):
        make(share).require()
    assert not mounted.exists()


@pytest.mark.parametrize("options", ["-o", "ro; reboot", "ro $(x)"])
def test_options_that_are_none(mounted: Path, make: Make, options: str) -> None:
    with pytest.raises(BackupDriverException, match="are no options of mount"):
        make(options=options).require()
    assert not mounted.exists()


def test_the_driver_mounts_before_its_directory_is_looked_at(mounted: Path, tmp_path: Path) -> None:
    changes = {"backup_share": SHARE, "backup_mount_point_base": str(tmp_path / "mnt")}
    options = settings(tmp_path, NfsDriver, **changes)
    options.safe_get = {"backup_root_helper": "env"}.get
    driver = NfsDriver(options)
    with pytest.raises(BackupDriverException, match="is not mounted in"):
        driver.mounted_directory()
    assert not mounted.exists()

    assert driver.files_directory() == driver.mounted_directory() == str(tmp_path / "mnt" / NAME)
    driver.check_for_setup_error()
    assert len(mounted.read_text().splitlines()) == 1
