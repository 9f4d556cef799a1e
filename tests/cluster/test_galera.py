# SPDX-License-Identifier: Apache-2.0
"""A journal on two nodes of Galera that are both written: the owner's node and the adopter's."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require
from tests.functional.slots.owners import take_over_busy
from tests.servers.several.galera import Galera, GaleraNode
from tests.servers.several.network import Network
from worker.journal.journal import Journal

ROOT = Path(__file__).parents[2]
ROUNDS = 5
STARTS = 4
"""Hosts that start at once, each with the journal on the other node than the one before."""

_START = """
import sys
from worker.journal.journal import Journal

journal = Journal(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
journal.upgrade()
print(len(journal.slots.table.every()))
"""


@pytest.fixture(scope="module")
def galera(network: Network) -> Iterator[Galera]:
    require(GaleraNode)
    directory = Path(tempfile.mkdtemp(prefix="hfg-", dir="/tmp"))
    directory.chmod(0o755)  # the nodes run as another user
    made = Galera(directory / "nodes", [network.namespace(f"g{n}").place for n in (1, 2)])
    try:
        made.start()
        yield made
    finally:
        made.close()
        shutil.rmtree(directory, ignore_errors=True)


def test_an_owner_that_writes_always_is_succeeded_on_another_node(galera: Galera) -> None:
    """Each commit of the owner ends the open transaction of the adopter on its node."""
    url = galera.database()
    victim, adopter = Journal(url), Journal(galera.on_node(url, 1))
    victim.upgrade()
    try:
        take_over_busy(victim, adopter, ROUNDS)
    finally:
        victim.close()
        adopter.close()


@pytest.mark.parametrize("attempt", range(2))
def test_hosts_that_start_at_once_make_the_tables_together(galera: Galera, attempt: int) -> None:
    """No lock of one node keeps the migration of another node out."""
    url = galera.database()
    argv = [sys.executable, "-c", _START]
    starts = [
        subprocess.Popen(
            [*argv, galera.on_node(url, number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for number in range(STARTS)
    ]
    for start in starts:
        assert start.stdout is not None
        assert start.stdout.readline() == "ready\n"
    for start in starts:
        assert start.stdin is not None
        start.stdin.write("\n")
        start.stdin.flush()
    ends = [start.communicate(timeout=120) for start in starts]

    last = [errors.splitlines()[-1:] for _, errors in ends]
    assert [start.returncode for start in starts] == [0] * STARTS, last
    assert [out for out, _ in ends] == ["0\n"] * STARTS
