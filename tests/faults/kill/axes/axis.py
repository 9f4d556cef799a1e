# SPDX-License-Identifier: Apache-2.0
"""An axis of the campaign: one kind of fault, its points, and the allowed ends."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from tests.faults.kill.campaign import Campaign
from tests.faults.kill.verdict import Strike, Verdict


class Axis(abc.ABC):
    """One kind of fault, on the world of a campaign.

    :cvar name: the value of ``--axis``.
    """

    name: ClassVar[str]

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.world = campaign.world
        self.chance = campaign.chance

    def strikes(self) -> list[Strike]:
        """Return a strike for each point of each way.

        A broken step makes no difference before its flow begins.
        """
        found = [
            Strike(way, point, self.name)
            for way, course in self.campaign.known.items()
            for point in course.points
        ]
        return [one for one in found if not (one.in_listener and one.way.broken)]

    @abc.abstractmethod
    def strike(self, batch: Sequence[Strike]) -> list[Verdict]:
        """Carry out operations with one fault, and judge their ends."""

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Prepare the needs of the strikes, and remove them at the end."""
        yield

    def recover(self) -> None:
        """Restore a running service after a batch that went wrong altogether."""
        self.world.kill(family=True)
        self.world.start()
