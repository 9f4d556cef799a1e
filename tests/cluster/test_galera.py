# SPDX-License-Identifier: Apache-2.0
"""A journal on two nodes of Galera that are both written: the owner's node and the adopter's."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require
from tests.functional.slots.owners import take_over_busy
from tests.servers.several.galera import Galera, GaleraNode
from tests.servers.several.network import Network
from worker.journal.journal import Journal

ROUNDS = 5


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
    """Each commit of the owner ends what the adopter's node has not committed yet."""
    url = galera.database()
    victim, adopter = Journal(url), Journal(galera.on_node(url, 1))
    victim.upgrade()
    try:
        take_over_busy(victim, adopter, ROUNDS)
    finally:
        victim.close()
        adopter.close()
