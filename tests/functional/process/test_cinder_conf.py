# SPDX-License-Identifier: Apache-2.0
"""The service on a ``cinder.conf`` as a package installs it, with all that is not for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.service import Service
from worker.db import sync
from worker.db.database import Database

PACKAGED = Path(__file__).parents[2] / "unit/conf/cinder/packaged.conf"
DRIVER = "cinder.volume.drivers.lvm.LVMVolumeDriver"


@pytest.fixture
def forked() -> bool:
    """Execute the program, as systemd does."""
    return False


@pytest.fixture
def service(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Callable[[str], Service]:
    """A function that makes the service of the file; only addresses and the driver are ours."""

    def make(options: str = "") -> Service:
        database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
        made = volume_service(bus=rabbit_url, database=database)
        text = PACKAGED.read_text()
        for theirs, ours in (
            ("/var/lib/cinder", str(made.directory / "state")),
            ("rabbit://openstack:secret@controller", rabbit_url),
            ("mysql+pymysql://cinder:secret@controller/cinder", database),
            (DRIVER, f"local\nprocesses = 2\n{options}"),
        ):
            assert theirs in text
            text = text.replace(theirs, ours)
        made.config = made.directory / "cinder.conf"
        made.config.write_text(text)
        sync.sync(Database(database))
        return made

    return make


def test_it_serves_the_backends_of_the_file(service: Callable[[str], Service]) -> None:
    running = service("")
    running.start()
    children, log = len(running.children()), running.text()

    assert children == 2
    assert log.count("[DEFAULT] iscsi_helper: unknown, so it has no effect") == 1
    assert "osapi_volume" not in log and "keystone_authtoken" not in log
    assert running.stop() == 0


def test_it_does_not_start_with_what_it_cannot_do(service: Callable[[str], Service]) -> None:
    refused = service("volume_copy_bps_limit = 1048576")
    status = refused.launch().wait(30)

    [line] = refused.text().splitlines()
    assert status == 78
    assert line.startswith(f"{refused.config}:")
    assert "[lvm] volume_copy_bps_limit: bounds the bandwidth of copies" in line
