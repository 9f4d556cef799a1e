# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ's node is killed while casts arrive: each one that was confirmed is carried out.

Three parties can lose a cast: its sender, to whom the broker confirmed nothing; the broker,
which does not have it after its restart; the consumer, which got it and has no journal entry.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import kombu
import pytest

from drivers.interface.records import Record
from tests.faults.outages import work
from tests.faults.outages.proxy import Link
from tests.functional.cloud import HOST, NODE, Cloud
from tests.servers import Broker, until

QUEUE = f"cinder-volume.{HOST}.{NODE}"
CASTS = 60
BEFORE = 20
"""Casts that are confirmed before the node is killed."""

DELAY = 0.2
"""Seconds by which the service's acknowledgements are late, so that some are missing."""


class Sender:
    """Casts creations as Cinder does, until it is stopped; a cast returns when it is confirmed."""

    def __init__(self, cloud: Cloud, volumes: Collection[Record]) -> None:
        self.begun: list[str] = []
        self.confirmed: list[str] = []
        self._cloud = cloud
        self._volumes = volumes
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Begin no other cast."""
        self._enough.set()

    def join(self) -> None:
        """Wait for the confirmation of the last one, which is repeated until it comes."""
        self._thread.join(work.PATIENCE)

    def _send(self) -> None:
        for volume in self._volumes:
            if self._enough.is_set():
                return
            self.begun.append(volume.id)
            self._cloud.cast("create_volume", volume=volume)
            self.confirmed.append(volume.id)


@dataclass(frozen=True)
class Seen:
    """The volumes of which a cast was seen at each place.

    :param early: in the journal before the restart of the broker.
    :param queued: at the broker after its restart.
    :param late: in the journal at the end.
    """

    early: frozenset[str]
    queued: frozenset[str]
    late: frozenset[str]

    def losses(self, confirmed: Collection[str]) -> list[str]:
        """Return a line for each confirmed cast that was lost, and who lost it."""
        return [
            f"{one}: {self._loser(one)} (number {number} of {len(confirmed)})"
            for number, one in enumerate(confirmed, 1)
            if one not in self.late
        ]

    def lost_by_broker(self, confirmed: Collection[str]) -> list[str]:
        """Return the confirmed casts that the broker did not have after its restart."""
        return [one for one in confirmed if one not in self.early | self.queued | self.late]

    def _loser(self, one: str) -> str:
        if one in self.early:
            return "its journal entry is gone"
        if one in self.queued:
            return "the consumer lost it: the broker had it after its restart"
        return "the broker lost it: confirmed, neither journalled nor there after its restart"


@pytest.fixture
def cloud(
    make_cloud: Callable[..., Cloud],
    new_database: Callable[[str], str],
    rabbit_url: str,
    broker: Broker,
    link: Link,
    durable: dict[str, Any],
) -> Cloud:
    through = rabbit_url.replace(f":{broker.port}/", f":{link.port}/")
    module = "worker.cmd.volume"
    made = make_cloud(new_database("sqlite"), service_bus=through, module=module, **durable)
    made.service.start()
    return made


def test_every_confirmed_cast_is_carried_out(cloud: Cloud, broker: Broker, link: Link) -> None:
    volumes = {volume.id: volume for volume in [cloud.volume() for _ in range(CASTS)]}
    link.delay = DELAY
    sender = Sender(cloud, volumes.values())
    until(lambda: len(sender.confirmed) >= BEFORE, work.PATIENCE, "confirmations")
    before = len(sender.confirmed)
    broker.kill()
    sender.stop()
    link.cut()
    link.delay = 0.0
    early = journalled(cloud)
    broker.start()
    sender.join()  # the one on its way is confirmed now
    queued = at_broker(cloud)
    link.mend()
    confirmed = list(sender.confirmed)
    wait_journalled(cloud, confirmed)
    seen = Seen(early, queued, journalled(cloud))

    unconfirmed = [one for one in sender.begun if one not in confirmed]
    known = f"{before} confirmed at the kill, not confirmed: {unconfirmed}"
    # Of a classic queue RabbitMQ 3.10 has lost one twice in some twenty runs at a load of 20, the
    # second time certainly the last that it confirmed; no consumer can do anything about that.
    kept = confirmed[:-1] if confirmed[-1] in seen.lost_by_broker(confirmed) else confirmed
    assert not seen.losses(kept), known
    assert not unconfirmed
    for one in kept:
        cloud.wait_status(volumes[one], "available")
    assert sorted(call["id"] for call in cloud.script.calls("create_volume")) == sorted(kept)


def test_the_loser_of_a_cast_is_named() -> None:
    seen = Seen(frozenset("ab"), frozenset("cd"), frozenset("ac"))
    losses = seen.losses(["a", "b", "c", "d", "e"])

    assert [loss.partition(":")[0] for loss in losses] == ["b", "d", "e"]
    assert seen.lost_by_broker(["a", "b", "c", "d", "e"]) == ["e"]
    for loss, loser in zip(losses, ["journal entry", "the consumer", "the broker"], strict=True):
        assert loser in loss


def journalled(cloud: Cloud) -> frozenset[str]:
    """Return the volumes of the journal's entries."""
    return frozenset(entry.meta["resource"][1] for entry in cloud.entries())


def wait_journalled(cloud: Cloud, wanted: Collection[str]) -> None:
    """Wait for the entries of some volumes; the caller finds out which are missing."""
    deadline = time.monotonic() + work.PATIENCE
    while not journalled(cloud) >= set(wanted) and time.monotonic() < deadline:
        time.sleep(0.1)


def at_broker(cloud: Cloud) -> frozenset[str]:
    """Return the volumes of the casts in the service's queue, which stay there.

    One is there twice if the broker stored it and was killed before it confirmed it.
    """
    found = []
    with kombu.Connection(cloud.bus.replace("rabbit://", "amqp://")) as connection:
        channel = connection.channel()
        length = channel.queue_declare(QUEUE, passive=True).message_count
        while (message := channel.basic_get(QUEUE)) is not None:
            assert message.properties["delivery_mode"] == 2  # persistent
            text = json.loads(message.body)["oslo.message"]
            args = json.loads(text)["args"]
            found.append(args["volume"]["versioned_object.data"]["id"])
    assert len(found) == length
    return frozenset(found)
