# SPDX-License-Identifier: Apache-2.0
"""Nova is notified of volumes of its instances, and swaps volumes on request.

Keystone hands out the token, and its catalogue says where Nova is.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.functional.cloud import POOL_HOST, Cloud
from tests.functional.operations.migration.pair import THERE, Pair, second_backend
from tests.functional.service import Service
from tests.servers import until
from tests.servers.keystone import TOKEN, Keystone
from tests.servers.nova import Nova

pytest.importorskip("keystoneauth1")

INSTANCE = str(uuid.uuid4())
IN_USE = {"status": "in-use", "previous_status": "in-use", "attach_status": "attached"}


@pytest.fixture
def nova() -> Iterator[Nova]:
    running = Nova()
    yield running
    running.close()


@pytest.fixture
def keystone(nova: Nova) -> Iterator[Keystone]:
    with Keystone({"compute": nova.url}, "secret") as running:
        yield running
        running.shutdown()


@pytest.fixture
def pair(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path, keystone: Keystone
) -> Iterator[Pair]:
    """Two backends of one host, which have an account for Nova."""
    account = {
        "auth_type": "password",
        "auth_url": keystone.url,
        "username": "holdfast",
        "password": "secret",
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region_name": "r",
    }
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    sections = second_backend(tmp_path, nova=account)
    cloud = Cloud(volume_service, rabbit_url, database, tmp_path, **sections)
    cloud.service.start()
    made = Pair(cloud, tmp_path)
    made.wait_until_up()
    yield made
    cloud.close()


def attached(pair: Pair, **columns: Any) -> Record:
    """Make a volume that an instance has."""
    volume = pair.cloud.existing(**{**IN_USE, **columns})
    pair.cloud.attachment(volume, "attached", instance_uuid=INSTANCE)
    return volume


def extend(pair: Pair, volume: Record) -> None:
    pair.cloud.cast("extend_volume", volume=volume, new_size=2, reservations=[])


def told_of(pair: Pair, volume: Record) -> list[str]:
    """Return the messages to the volume's user."""
    messages = pair.cloud.records.messages.list()
    return [m.event_id for m in messages if m.resource_uuid == volume.id]


def test_the_instance_sees_the_new_size(pair: Pair, nova: Nova, keystone: Keystone) -> None:
    volume = attached(pair, status="extending")
    extend(pair, volume)
    pair.cloud.wait_status(volume, "in-use")
    pair.cloud.wait_idle()

    event = {"name": "volume-extended", "server_uuid": INSTANCE, "tag": volume.id}
    assert nova.told == [event]
    assert nova.asked[0][3]["X-Auth-Token"] == TOKEN
    assert keystone.asked == ["holdfast"]
    assert told_of(pair, volume) == []


def test_a_user_reads_that_nova_was_not_told(pair: Pair, nova: Nova) -> None:
    nova.answer = (403, '{"forbidden": {"message": "not you"}}')
    volume = attached(pair, status="extending")
    extend(pair, volume)
    pair.cloud.wait_status(volume, "in-use")
    pair.cloud.wait_idle()

    assert pair.row(volume).size == 2
    assert told_of(pair, volume) == ["VOLUME_VOLUME_007_009"]
    assert "Nova refused: 403" in pair.cloud.service.text()


def test_news_outlive_a_kill(pair: Pair, nova: Nova) -> None:
    """A notification that a kill prevented is sent after the restart."""
    arrived, held = threading.Event(), threading.Event()

    def never_answers() -> None:
        arrived.set()
        held.wait(60)
        raise ConnectionAbortedError("who asked is dead")

    nova.before = never_answers
    volume = attached(pair, status="extending")
    extend(pair, volume)
    assert arrived.wait(30)
    assert pair.row(volume).status == "in-use"
    pair.cloud.service.kill()
    nova.before = lambda: None
    held.set()
    assert nova.told == []
    pair.cloud.service.start()

    until(lambda: nova.told, 60, "the news")
    pair.cloud.wait_idle()
    assert [event["tag"] for event in nova.told] == [volume.id]


class TestSwap:
    """An instance copies its volume to the other backend, and goes on there."""

    def swap(self, pair: Pair, nova: Nova) -> tuple[Record, Record]:
        """Have a volume migrated up to where it is the instance's turn."""
        asked: list[tuple[str, str, str]] = []

        def begin(*what: str) -> None:
            pair.cloud.records.volumes.update(what[2], status="reserved")
            asked.append(what)

        nova.swaps = begin
        volume = attached(pair, migration_status="starting")
        pair.migrate(volume)
        pair.wait(lambda: asked)
        pair.cloud.wait_idle()
        ((instance, old, new),) = asked
        assert (instance, old) == (INSTANCE, volume.id)
        row, copy = pair.row(volume), pair.cloud.records.volumes.get(new)
        assert (row.host, row.status, row.migration_status) == (POOL_HOST, "in-use", "migrating")
        assert (copy.host, copy.migration_status) == (THERE, f"target:{volume.id}")
        return row, copy

    def complete(self, pair: Pair, volume: Record, copy: Record, error: bool) -> None:
        """As the API does when Nova is done."""
        args = {"volume": volume, "new_volume": copy, "error": error}
        assert pair.cloud.call("migrate_volume_completion", **args) == volume.id

    def test_the_volume_is_in_use_on_the_other_backend(self, pair: Pair, nova: Nova) -> None:
        volume, copy = self.swap(pair, nova)
        pair.second.path(copy.name).write_bytes(b"data of " + volume.name.encode())
        self.complete(pair, volume, copy, error=False)

        row = pair.settled(volume, "in-use")
        pair.assert_moved(row)
        assert [one.instance_uuid for one in row.volume_attachment] == [INSTANCE]

    def test_one_that_fails_leaves_it_where_it_is(self, pair: Pair, nova: Nova) -> None:
        volume, copy = self.swap(pair, nova)
        self.complete(pair, volume, copy, error=True)

        pair.assert_stayed(pair.settled(volume, "in-use"))

    def test_one_that_is_refused_takes_the_copy_away(self, pair: Pair, nova: Nova) -> None:
        nova.answer = (409, '{"conflictingRequest": {"message": "it is locked"}}')
        volume = attached(pair, migration_status="starting")
        pair.migrate(volume)

        pair.assert_stayed(pair.settled(volume, "in-use"))
        assert "it is locked" in pair.cloud.service.text()
