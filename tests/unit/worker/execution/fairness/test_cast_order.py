# SPDX-License-Identifier: Apache-2.0
"""Random casts of projects, over a broker whose connections break: in order, and none lost."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.messages import arrived
from worker.execution import cast_queue
from worker.execution.cast_queue import CastQueue
from worker.execution.fairness.backlog import WaitingCast
from worker.rpc.operation import Operation
from worker.rpc.server import Cast

COUNT = 120
STEPS = 5_000
"""Steps after which a cast counts as stuck."""


@dataclass(eq=False)
class Sent:
    """A message in the queue of the broker.

    :param volumes: on which it is; the first one exclusively.
    """

    number: int
    project: str
    volumes: list[str]
    returns: int = 0


class World:
    """A quorum queue, one consumer with a limit of messages, and operations that end at random."""

    def __init__(self, chance: random.Random, prefetch: int, room: int) -> None:
        self.chance, self._prefetch, self._room = chance, prefetch, room
        self.ready: list[Sent] = []
        self.unacknowledged: list[Sent] = []
        self.accepted: list[Sent] = []
        self.running: list[Operation] = []
        self._connection = object()
        self.casts = CastQueue(
            self._dispatch,
            self._admits,
            self._accept,
            threading.Event(),
            threading.Event(),
        )

    @property
    def is_empty(self) -> bool:
        return not (self.ready or self.unacknowledged)

    def deliver(self) -> None:
        while self.ready and len(self.unacknowledged) < self._prefetch:
            sent = self.ready.pop(0)
            self.unacknowledged.append(sent)
            self.casts.put(self._message(sent, self._connection))

    def cut(self) -> None:
        """Break the connection: its messages go back to their places."""
        self._connection = object()
        for sent in self.unacknowledged:
            sent.returns += 1
        self.ready[:0], self.unacknowledged = self.unacknowledged, []

    def _message(self, sent: Sent, connection: object) -> Cast:
        def acknowledge() -> None:
            if connection is self._connection:
                self.unacknowledged.remove(sent)

        def is_lost() -> bool:
            return connection is not self._connection

        return arrived(
            {"sent": sent, "args": {"volumes": sent.volumes}},
            {"project_id": sent.project},
            acknowledge=acknowledge,
            is_lost=is_lost,
            returns=sent.returns,
            give_back=self.cut,
        )

    @staticmethod
    def _dispatch(cast: Cast) -> Operation:
        first, *others = _sent(cast).volumes
        factory: Any = None
        return Operation(factory, ("volume", first), {}, exclusive=(first,), shared=(*others,))

    def _admits(self, operation: Operation, _others: bool, ahead: Sequence[Operation]) -> bool:
        before = [*self.running, *ahead]
        same = sum(one.exclusive == operation.exclusive for one in before)
        return len(before) < self._room and same < 2

    def _accept(self, casts: Sequence[WaitingCast]) -> None:
        for one in casts:
            if (sent := _sent(one.cast)) not in self.accepted:
                self.accepted.append(sent)
                self.running.append(one.operation)


def _sent(cast: Cast) -> Sent:
    found: Sent = cast.read()[0]["sent"]
    return found


@pytest.mark.parametrize("seed", range(12))
def test_casts_on_a_volume_are_accepted_in_order(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(cast_queue, "DEFERRED_CASTS", chance.choice([2, 4, 256]))
    monkeypatch.setattr(cast_queue, "TAKEN", chance.choice([16, 256]))
    world = World(chance, prefetch=chance.choice([8, 64]), room=chance.choice([3, 10, 1000]))
    volumes = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(chance.choice([2, 20]))]
    for number in range(COUNT):
        project = f"p{min(chance.randrange(6), chance.randrange(6))}"
        named = chance.sample(volumes, chance.choice([1, 1, 1, 2]))
        world.ready.append(Sent(number, project, named))
    for _ in range(STEPS):
        chance.choices([world.deliver, world.casts.process, world.cut], [40, 60, 1])[0]()
        for _ in range(min(len(world.running), chance.choice([0, 1, 5]))):
            world.running.pop(chance.randrange(len(world.running)))
        if world.is_empty:
            break

    assert sorted(sent.number for sent in world.accepted) == [*range(COUNT)]
    for volume in volumes:
        numbers = [sent.number for sent in world.accepted if volume in sent.volumes]
        assert numbers == sorted(numbers)
