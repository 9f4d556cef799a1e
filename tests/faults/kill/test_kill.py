# SPDX-License-Identifier: Apache-2.0
"""Each axis strikes random points of each service; the full run strikes at each of them."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import require
from tests.dispatchers import backup_dispatcher, volume_dispatcher
from tests.faults.kill.__main__ import FRONTS
from tests.faults.kill.axes.axis import Axis
from tests.faults.kill.axes.every_axis import AXES
from tests.faults.kill.campaign import Campaign
from tests.faults.kill.cases import every_case as cases
from tests.faults.kill.verdict import Strike
from tests.servers import Broker, MariaDB, Servers

FAILING = 12
"""Ways with a failing step or call that the quick run learns; which, is chance."""

POINTS = 12
"""Points of each axis that the quick run strikes, with one fault; which, is chance."""

DISPATCHERS = {"volume": volume_dispatcher, "backup": backup_dispatcher}


@pytest.fixture(params=FRONTS)
def campaign(
    request: pytest.FixtureRequest, servers: Servers, chance: random.Random, forked: bool
) -> Iterator[Campaign]:
    """A service of its own, in a directory whose name leaves room for sockets; its ways."""
    require(Broker, MariaDB)
    kind, known = FRONTS[request.param]
    with tempfile.TemporaryDirectory(prefix="hfk-", dir="/tmp") as name:
        world = kind(servers, Path(name), forked=forked)
        world.start()
        made = Campaign(world, chance, say=print)
        made.discover(known, most=FAILING)
        yield made
        world.close()


@pytest.mark.parametrize("name", FRONTS)
def test_every_operation_that_changes_something_has_a_case(name: str) -> None:
    _world, known = FRONTS[name]
    assert {case.method for case in known} == DISPATCHERS[name]().journalled - cases.WHOLE


@pytest.mark.timeout(600)
@pytest.mark.lasts(110)
def test_each_axis_at_random_points(campaign: Campaign) -> None:
    # One test for all axes: to learn the ways takes as long as several axes.
    for name in AXES:
        axis = AXES[name](campaign)
        campaign.run(axis, _some(axis, campaign.chance))
    tally = campaign.tally
    assert not [verdict.shown() for verdict in tally.bad()]
    for name in AXES:
        assert tally.figures(name)["points"] > POINTS / 2, name


def _some(axis: Axis, chance: random.Random) -> list[Strike]:
    """Return strikes that one fault is enough for, and kill some operations twice."""
    strikes = axis.strikes()
    listening = [strike for strike in strikes if strike.in_listener]
    others = [strike for strike in strikes if not strike.in_listener]
    chosen = chance.sample(others, POINTS - 1) + chance.sample(listening, min(1, len(listening)))
    if axis.name != "kill":
        return chosen
    return [replace(one, then=chance.choice([None, 0, 1, 2, 3])) for one in chosen]
