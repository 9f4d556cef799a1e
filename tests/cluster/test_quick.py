# SPDX-License-Identifier: Apache-2.0
"""Two hosts of a cluster over MariaDB and Redis: a few faults of each kind, within two minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.__main__ import lease
from tests.cluster.faults.campaign import Campaign, seen
from tests.cluster.faults.plan import Fault, Plan
from tests.cluster.rig.setting import Kinds, Setting
from tests.cluster.rig.world import Shape, World
from tests.conftest import missing

TTL = 6.0
FAULTS = [
    Fault("kill", 0, 2.5 * TTL, delay=0.5, taken_over=True),
    Fault("stop", 1, 1.0, delay=1.0),
    Fault("freeze", 1, 1.5 * TTL, delay=1.0),
    Fault("cut-database", 0, 1.5 * TTL, delay=1.0),
    Fault("locks-server", 0, 1.0, delay=0.5),
    Fault("child", 1, 0.5, delay=0.5),
]


@pytest.fixture(scope="module")
def world(rights: None) -> Iterator[World]:
    kinds = Kinds()
    if absent := kinds.missing():
        missing(f"not installed: {', '.join(absent)}: tox -e cluster")
    with Setting(kinds) as setting, World(setting, Shape(hosts=2, lease=lease(TTL))) as made:
        made.start()
        yield made


@pytest.mark.timeout(600)
@pytest.mark.lasts(60)
def test_faults_on_two_hosts_under_load(
    world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seed = request.config.getoption("seed")
    plan = Plan(seed, ["kill"], 2, TTL)
    lines: list[str] = []
    campaign = Campaign(
        world, plan, seed, ttl=TTL, most=1, rate=6.0, keep=tmp_path, say=lines.append
    )

    verdict = campaign.round(0, FAULTS)

    assert not verdict.findings, f"{seen(verdict.findings)}\n" + "\n".join(lines) + world.tail()
    assert verdict.faults == len(FAULTS)
    assert verdict.epochs > 2, "the history lacks the epochs that the checker compares"
    assert verdict.takeovers, "no operation was interrupted on one host and resumed on the other"
