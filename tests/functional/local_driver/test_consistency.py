# SPDX-License-Identifier: Apache-2.0
"""A group snapshot is of one moment, even with writers through the exports.

A writer puts the same number into two volumes of a group, one after the other. In any
snapshot of both, and in whatever is made of it, the two differ by one at most.
"""

from __future__ import annotations

import struct
import threading

import pytest

from drivers.interface.records import Record
from tests.functional.cloud import BACKEND, HOST, Cloud
from tests.functional.local_driver.nbd import Disk

POOL_HOST = f"{HOST}#{BACKEND}"
CONNECTOR = {"host": "writer"}
ROUNDS = 12
AT = 8 * 1024**2
"""Where the number stands, in bytes."""


@pytest.fixture
def cloud(nbd_cloud: Cloud) -> Cloud:
    return nbd_cloud


class Writer(threading.Thread):
    """Writes ever larger numbers to the first disk, then to the second."""

    def __init__(self, disks: list[Disk]) -> None:
        super().__init__()
        self._disks = disks
        self.done = threading.Event()
        self.count = 0

    def run(self) -> None:
        while not self.done.is_set():
            self.count += 1
            for disk in self._disks:
                disk.write(AT, struct.pack(">Q", self.count).ljust(512, b"\0"))


def connected(cloud: Cloud, volume: Record) -> Disk:
    info = cloud.call("initialize_connection", volume=volume, connector=CONNECTOR)
    return Disk(info["data"]["socket"], info["data"]["export"])


def new(cloud: Cloud, group: Record, **columns: str) -> Record:
    return cloud.volume(host=POOL_HOST, group_id=group.id, **columns)


def restored(cloud: Cloud, group: Record, pair: list[Record]) -> list[int]:
    """Return the numbers in a group that is made of a snapshot of another one."""
    snapshot = cloud.group_snapshot(group)
    members = [cloud.snapshot(volume, group_snapshot_id=snapshot.id) for volume in pair]
    cloud.cast("create_group_snapshot", group_snapshot=snapshot)
    cloud.wait_status(snapshot, "available")
    copy = cloud.group(host=POOL_HOST)
    volumes = [new(cloud, copy, snapshot_id=member.id) for member in members]
    cloud.cast("create_group_from_src", group=copy, group_snapshot=snapshot)
    cloud.wait_status(copy, "available")
    numbers = []
    for volume in volumes:
        with connected(cloud, volume) as disk:
            numbers += struct.unpack(">Q", disk.read(AT, 8))
    return numbers


def test_a_restored_pair_never_differs_by_more_than_one(cloud: Cloud) -> None:
    group = cloud.group(host=POOL_HOST)
    cloud.cast("create_group", group=group)
    cloud.wait_status(group, "available")
    pair = [new(cloud, group) for _ in "AB"]
    for volume in pair:
        cloud.cast("create_volume", volume=volume)
        cloud.wait_status(volume, "available")

    with connected(cloud, pair[0]) as first, connected(cloud, pair[1]) as second:
        writer = Writer([first, second])
        writer.start()
        try:
            found = [restored(cloud, group, pair) for _ in range(ROUNDS)]
        finally:
            writer.done.set()
            writer.join()

    assert [a - b for a, b in found if a - b not in (0, 1)] == [], found
    # It was written to all the while, and went on after each snapshot.
    numbers = [a for a, _ in found]
    assert numbers == sorted(set(numbers)) and writer.count > numbers[-1] > 100
