# SPDX-License-Identifier: Apache-2.0
"""A case of the campaign: one operation, and its request."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flows.factories import Factory
from tests.faults.kill.world import World


@dataclass
class Asked:
    """One message that is ready to be sent.

    :param resource: the id by which the journal knows it.
    :param roles: names for the ids that it is about.
    """

    project: str
    resource: str
    args: dict[str, Any]
    roles: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One operation.

    :param arrange: makes the resources before it and returns the message.
    :param call: whether its caller waits for an answer.
    :param undone: whether it may be undone after a kill, as its caller has gone.
    :param repeated: whether a failed one is done again from an older copy of the journal: its
        resource is as before then. A power cut does not take its end back, which is on the disk.
    """

    name: str
    method: str
    factory: Factory
    arrange: Callable[[World, str], Asked]
    version: str = "3.0"
    call: bool = False
    undone: bool = False
    repeated: bool = False

    def prepare(self, world: World) -> Asked:
        """Arrange it in a project of its own."""
        return self.arrange(world, uuid.uuid4().hex)

    def send(self, world: World, asked: Asked) -> None:
        """Send the message."""
        send = world.ask if self.call else world.cast
        send(asked.project, self.method, self.version, asked.args)
