# SPDX-License-Identifier: Apache-2.0
"""Every operation is killed at a random point; the full run kills at each, and at pairs."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require
from tests.dispatchers import backup_dispatcher, volume_dispatcher
from tests.faults.kill import backup_world, cases
from tests.faults.kill.campaign import Campaign, Strike, Way
from tests.faults.kill.put_back import PutBack
from tests.faults.kill.world import World
from tests.servers import Broker, MariaDB, Servers

MOST = 100
"""Ways that the quick run takes; which, is chance."""

STATES = 120
"""Earlier states of the journal that the quick run puts back; which, is chance."""


FRONTS = {
    "volume": (World, cases.CASES, volume_dispatcher),
    "backup": (backup_world.BackupWorld, backup_world.CASES, backup_dispatcher),
}


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest, servers: Servers) -> Iterator[tuple[World, Any]]:
    """A service of its own, in a directory whose name leaves room for sockets; its cases."""
    require(Broker, MariaDB)
    kind, known, _dispatcher = FRONTS[request.param]
    with tempfile.TemporaryDirectory(prefix="hfk-", dir="/tmp") as name:
        made = kind(servers, Path(name))
        made.start()
        yield made, known
        made.close()


@pytest.mark.parametrize("name", FRONTS)
def test_every_operation_that_changes_something_has_a_case(name: str) -> None:
    _world, known, dispatcher = FRONTS[name]
    assert {case.method for case in known} == dispatcher().journalled - cases.WHOLE


@pytest.mark.timeout(300)
def test_killed_at_a_random_point_and_once_more(
    front: tuple[World, Any], chance: random.Random
) -> None:
    world, known = front
    campaign = Campaign(world, chance, say=lambda line: None)
    campaign.discover(known)
    assert not [verdict.shown() for verdict in campaign.tally.bad()]

    by_way: dict[Way, list[Strike]] = {}
    for strike in campaign.singles():
        by_way.setdefault(strike.way, []).append(strike)
    ways = chance.sample(sorted(by_way, key=str), min(MOST, len(by_way)))
    chosen = [chance.choice(by_way[way]) for way in ways]
    campaign.run(replace(one, then=chance.choice([None, 0, 1, 2, 3])) for one in chosen)

    assert not [verdict.shown() for verdict in campaign.tally.bad()]
    assert campaign.tally.kill_points > len(known)


@pytest.mark.timeout(300)
def test_a_journal_that_is_put_back_changes_nothing(
    front: tuple[World, Any], chance: random.Random
) -> None:
    world, known = front
    campaign = Campaign(world, chance, say=lambda line: None)
    campaign.learn([Way(case) for case in known])
    axis = PutBack(campaign)
    states = axis.states()
    assert len(states) > 2 * len(known)

    axis.run(chance.sample(states, min(STATES, len(states))), chance, STATES)

    assert not [result.shown() for result in axis.figures.bad()]
