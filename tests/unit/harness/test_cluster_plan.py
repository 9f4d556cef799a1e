# SPDX-License-Identifier: Apache-2.0
"""The plan of a cluster campaign: every pair of values, the same faults for the same seed."""

from __future__ import annotations

import itertools
import random
import threading

import pytest

from tests.cluster.checks.evidence import Struck
from tests.cluster.faults import pairwise
from tests.cluster.faults.plan import (
    CUTS,
    DIRECTIONS,
    EVERY,
    HOST_KINDS,
    KINDS,
    Plan,
    factors,
    long_lasting,
)
from tests.cluster.faults.shared import Allowance, ServerFaults
from tests.cluster.faults.strike import START_TRIES, start_again


def test_a_table_has_every_pair_of_values() -> None:
    some = {"a": ["1", "2", "3"], "b": ["x", "y"], "c": ["p", "q", "r", "s"]}
    rows = pairwise.table(some, random.Random(1))

    for one, other in itertools.combinations(some, 2):
        found = {(row[one], row[other]) for row in rows}
        assert found == set(itertools.product(some[one], some[other]))
    assert len(rows) < 3 * 2 * 4  # fewer than all combinations


def test_the_same_seed_gives_the_same_round() -> None:
    one, other = (Plan(7, KINDS, 3, 6.0) for _ in range(2))

    assert one.round(3) == other.round(3)
    assert one.round(3) != one.round(4)
    assert one.round(3) != Plan(8, KINDS, 3, 6.0).round(3)


def test_a_round_has_as_many_faults_as_were_asked_for_of_the_kinds_that_were_chosen() -> None:
    plan = Plan(1, ["kill", "freeze"], 2, 6.0, size=20)
    faults = [fault for number in range(3) for fault in plan.round(number)]

    assert len(faults) == 60
    assert {fault.kind for fault in faults} == {"kill", "freeze"}


def test_one_of_three_worlds_plays_the_whole_table_in_a_full_campaign() -> None:
    plan = Plan(1, KINDS, 3, 6.0)
    rounds = 2000 // 3 // plan.size
    kinds = {fault.kind for number in range(rounds) for fault in plan.round(number)}

    assert plan.rows <= rounds * plan.size // 2
    assert kinds == set(KINDS)


def test_each_freeze_and_cut_that_lasts_minutes_has_its_turn() -> None:
    plan = Plan(1, KINDS, 3, 6.0)
    turns = [plan.round(number * EVERY)[0] for number in range(len(long_lasting(KINDS)))]

    assert {(one.kind, one.direction) for one in turns} == {
        *(("freeze", "both"), ("pause", "both")),
        *itertools.product((f"cut-{one}" for one in CUTS), DIRECTIONS),
    }
    assert {one.seconds for one in turns if one.kind in ("freeze", "pause")} == {90.0}
    assert all(60 <= one.seconds <= 180 for one in turns)
    assert all(fault.seconds < 60 for number in (1, 2, 4) for fault in plan.round(number))


def test_three_worlds_play_most_long_faults_in_a_full_campaign() -> None:
    rounds = range(2000 // 3 // 20)
    plans = [Plan(f"1 {world}", KINDS, 3, 6.0) for world in "abc"]
    found = {
        (fault.kind, fault.direction)
        for plan in plans
        for number in rounds
        for fault in plan.round(number)
        if fault.seconds >= 60
    }

    assert len(found) >= 14


def test_an_allowance_is_shared_by_all_campaigns() -> None:
    allowance = Allowance(45)

    assert [allowance.take(20) for _ in range(4)] == [20, 20, 5, 0]


def test_no_round_begins_after_the_time_or_the_end_of_an_allowance() -> None:
    late, ended = Allowance(45, seconds=-1.0), Allowance(45)
    ended.end()

    assert (late.take(20), ended.take(20)) == (0, 0)


def test_a_fault_of_a_server_waits_for_the_judge_and_strikes_the_hosts_of_all_worlds() -> None:
    servers = ServerFaults()
    order: list[str] = []

    def strike() -> None:
        with servers.striking():
            order.append("struck")
            servers.note(Struck("broker-server", ("a-h1",), 1.0, 2.0))

    with servers.judging():
        striker = threading.Thread(target=strike)
        striker.start()
        order.append("judged")
    striker.join()

    assert order == ["judged", "struck"]
    assert servers.since(1.5, ("b-h1",)) == [
        Struck("broker-server", ("b-h1",), 1.0, 2.0, counted=False)
    ]
    assert servers.since(2.5, ("b-h1",)) == []


def test_no_world_is_judged_while_a_server_is_away() -> None:
    servers = ServerFaults()
    order: list[str] = []

    def judge() -> None:
        with servers.judging():
            order.append("judged")

    with servers.striking():
        judging = threading.Thread(target=judge)
        judging.start()
        order.append("struck")
        away = servers.last()
    judging.join()

    assert order == ["struck", "judged"]
    assert servers.last() >= away


def test_the_company_of_a_fault_is_one_of_the_kinds_that_were_chosen() -> None:
    assert set(factors(HOST_KINDS)["company"]) == {"none", *HOST_KINDS}


class SlowServer:
    """A server whose first starts take too long."""

    def __init__(self, failures: int) -> None:
        self.calls: list[str] = []
        self._failures = failures

    def start(self) -> None:
        self.calls.append("start")
        if self.calls.count("start") <= self._failures:
            raise RuntimeError("waited 90 s for the start")

    def kill(self) -> None:
        self.calls.append("kill")


def test_a_server_that_was_killed_is_started_until_it_runs() -> None:
    slow, broken = SlowServer(2), SlowServer(START_TRIES)
    start_again(slow)

    assert slow.calls == ["start", "kill", "start", "kill", "start"]
    with pytest.raises(RuntimeError, match="waited 90 s"):
        start_again(broken)
