# SPDX-License-Identifier: Apache-2.0
"""Installations of test runs, and of their workers, that start at the same time."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.installation import installed
from tests.servers import free_port, process

PROCESSES = 3


def install_slowly(place: Path) -> bool:
    """Install into a directory that no other process may have made; runs in a process."""

    def install() -> None:
        place.mkdir()
        time.sleep(0.05)

    return installed(place, install)


def ports(count: int) -> list[int]:
    """Reserve some of few ports; runs in a process that stays alive."""
    process.PORTS = range(21000, 21000 + 2 * PROCESSES * count)  # type: ignore[misc]
    return [free_port() for _ in range(count)]


def test_one_process_installs_and_the_others_use_it(tmp_path):
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        assert list(pool.map(install_slowly, [tmp_path / "it"] * PROCESSES)) == [True] * PROCESSES


def test_an_interrupted_installation_is_repeated(tmp_path):
    place = tmp_path / "it"
    place.mkdir()

    assert installed(place, (place / "program").touch)
    assert (place / "program").exists()


def test_a_failed_installation_is_tried_once(tmp_path):
    tries = []

    def fail():
        tries.append(1)
        raise subprocess.CalledProcessError(1, "npm")

    assert not installed(tmp_path / "it", fail)
    assert not installed(tmp_path / "it", fail)
    assert tries == [1]


def test_processes_get_different_ports():
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        found = [port for some in pool.map(ports, [40] * PROCESSES) for port in some]

    assert len(set(found)) == len(found)
