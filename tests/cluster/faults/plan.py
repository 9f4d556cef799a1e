# SPDX-License-Identifier: Apache-2.0
"""Which faults strike when: rows of a pairwise table, long ones in turn, others at random."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.cluster.faults import pairwise

LENGTHS = {"short": 0.3, "below": 0.7, "beyond": 1.5, "long": 3.0}
"""Lengths of faults, in lifetimes of a lease."""

LONGEST = 6.0
"""The same for a length at random."""

MINUTES = {"freeze": (90.0, 90.0), "pause": (90.0, 90.0), "cut": (60.0, 180.0)}
"""Seconds of the faults that last minutes, whatever the lifetime of a lease is."""

EVERY = 3
"""Rounds of which one begins with a fault that lasts minutes."""

HOST_KINDS = ("kill", "child", "freeze", "pause", "stop", "flap", "clock")
CUTS = ("broker", "database", "locks", "hosts", "all")
DIRECTIONS = ("both", "into", "out_of")
SERVER_KINDS = ("broker", "database", "locks", "minority")
KINDS = (*HOST_KINDS, *(f"cut-{target}" for target in CUTS), *(f"{k}-server" for k in SERVER_KINDS))


@dataclass(frozen=True)
class Fault:
    """One fault.

    :param host: number of the host, or of the server's node.
    :param seconds: how long it lasts.
    :param delay: seconds after the one before.
    :param taken_over: it strikes inside a call that takes long, and lasts at least until another
        host has resumed that operation.
    """

    kind: str
    host: int
    seconds: float
    direction: str = "both"
    delay: float = 0.0
    taken_over: bool = False

    @property
    def is_of_host(self) -> bool:
        """Whether it strikes a host, not a server."""
        return not self.kind.endswith("-server")

    def shown(self) -> str:
        """Return it for a message."""
        where = f"h{self.host + 1}" if self.is_of_host else f"node {self.host + 1}"
        way = f" {self.direction}" if self.kind.startswith("cut") else ""
        return f"{self.kind}{way} of {where} for {self.seconds:.1f} s"

    def to_json(self) -> dict[str, Any]:
        """Return it for a file."""
        return asdict(self)


def factors(kinds: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return the factors of the table."""
    return {
        "kind": kinds,
        "length": list(LENGTHS),
        "direction": DIRECTIONS,
        "company": ["none", *kinds],
        "distance": ["same", "soon", "late"],
    }


def long_lasting(kinds: Sequence[str]) -> list[tuple[str, str]]:
    """Return kind and direction of each fault that lasts minutes; a cut has three directions."""
    found = []
    for kind in kinds:
        group = kind.partition("-")[0]
        if group in MINUTES:
            found += [(kind, one) for one in (DIRECTIONS if group == "cut" else DIRECTIONS[:1])]
    return found


class Plan:
    """All faults of a campaign, in rounds.

    :param ttl: seconds of a lease.
    :param size: faults of a round.
    :param every: the number of rounds of which one begins with a fault that lasts minutes.
    """

    def __init__(
        self,
        seed: int | str,
        kinds: Sequence[str],
        hosts: int,
        ttl: float,
        size: int = 20,
        every: int = EVERY,
    ) -> None:
        self._seed, self._kinds, self._hosts, self._ttl = seed, list(kinds), hosts, ttl
        self.size = size
        self._every = every
        chance = random.Random(f"{seed} table")
        self._rows = pairwise.table(factors(self._kinds), chance)
        chance.shuffle(self._rows)
        self._long = long_lasting(self._kinds)
        chance.shuffle(self._long)

    @property
    def rows(self) -> int:
        """How many rows the pairwise table has."""
        return len(self._rows)

    def round(self, number: int) -> list[Fault]:
        """Return the faults of a round, the same for the same seed."""
        chance = random.Random(f"{self._seed} round {number}")
        found = self._lasting_minutes(number, chance)
        per_round = max(1, self.size // 2)
        rows = self._rows[number * per_round : (number + 1) * per_round]
        for row in rows:
            found += self._of_row(row, chance)
        while len(found) < self.size:
            found.append(self._random(chance))
        return found[: self.size]

    def _lasting_minutes(self, number: int, chance: random.Random) -> list[Fault]:
        """Return the fault of this round that lasts minutes, if it has one: each in its turn."""
        turn, rest = divmod(number, self._every)
        if rest or not self._long:
            return []
        kind, direction = self._long[turn % len(self._long)]
        seconds = chance.uniform(*MINUTES[kind.partition("-")[0]])
        return [Fault(kind, chance.randrange(self._hosts), seconds, direction, 0.5)]

    def _of_row(self, row: pairwise.Row, chance: random.Random) -> list[Fault]:
        seconds = LENGTHS[row["length"]] * self._ttl
        host = chance.randrange(self._hosts)
        wait = chance.uniform(0.5, 2.0)
        first = Fault(row["kind"], host, seconds, row["direction"], wait)
        if row["company"] == "none":
            return [first]
        delay = {"same": 0.0, "soon": 0.3, "late": 0.9}[row["distance"]] * self._ttl
        other = (host + 1 + chance.randrange(max(1, self._hosts - 1))) % self._hosts
        length = chance.choice(list(LENGTHS.values())) * self._ttl
        return [first, Fault(row["company"], other, length, row["direction"], delay)]

    def _random(self, chance: random.Random) -> Fault:
        # Most faults are short: with long ones alone a campaign would not end.
        seconds = self._ttl * min(LONGEST, 0.2 + chance.expovariate(1.0))
        return Fault(
            chance.choice(self._kinds),
            chance.randrange(self._hosts),
            seconds,
            chance.choice(DIRECTIONS),
            chance.uniform(0.2, 1.0) * self._ttl,
        )
