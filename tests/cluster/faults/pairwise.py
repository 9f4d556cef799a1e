# SPDX-License-Identifier: Apache-2.0
"""Tables in which each pair of values of two factors occurs."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence

TRIES = 12
"""Rows of which the one with the most new pairs is taken."""

Row = dict[str, str]


def table(factors: Mapping[str, Sequence[str]], chance: random.Random) -> list[Row]:
    """Return rows that hold each pair of values of any two factors at least once."""
    names = list(factors)
    left = {
        (one, first, other, second)
        for one, other in itertools.combinations(names, 2)
        for first in factors[one]
        for second in factors[other]
    }
    rows = []
    while left:
        some = [_row(factors, names, left, chance) for _ in range(TRIES)]
        best = max(some, key=lambda row: len(_pairs(names, row) & left))
        left -= _pairs(names, best)
        rows.append(best)
    return rows


def _row(
    factors: Mapping[str, Sequence[str]],
    names: Sequence[str],
    left: set[tuple[str, str, str, str]],
    chance: random.Random,
) -> Row:
    """Return a row with a pair that is missing; its other values are random."""
    one, first, other, second = chance.choice(sorted(left))
    row = {name: chance.choice(list(factors[name])) for name in names}
    return {**row, one: first, other: second}


def _pairs(names: Sequence[str], row: Row) -> set[tuple[str, str, str, str]]:
    return {(one, row[one], other, row[other]) for one, other in itertools.combinations(names, 2)}
