# SPDX-License-Identifier: Apache-2.0
"""The plan of a cluster campaign: every pair of values, the same faults for the same seed."""

from __future__ import annotations

import itertools
import random

from tests.cluster.faults import pairwise
from tests.cluster.faults.plan import HOST_KINDS, KINDS, Plan, factors


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


def test_a_campaign_has_as_many_faults_as_were_asked_for() -> None:
    plan = Plan(1, ["kill", "freeze"], 2, 6.0, size=20)

    assert sum(len(faults) for _number, faults in plan.rounds(45)) == 45
    assert {fault.kind for _number, some in plan.rounds(45) for fault in some} == {"kill", "freeze"}


def test_all_rows_of_the_table_are_played_within_a_full_campaign() -> None:
    plan = Plan(1, KINDS, 3, 6.0)
    kinds = {fault.kind for _number, some in plan.rounds(2000) for fault in some}

    assert plan.rows <= 2000 // 2
    assert kinds == set(KINDS)


def test_the_company_of_a_fault_is_one_of_the_kinds_that_were_chosen() -> None:
    assert set(factors(HOST_KINDS)["company"]) == {"none", *HOST_KINDS}
