# SPDX-License-Identifier: Apache-2.0
"""Entries of the image-volume cache."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from tests.unit.db.world import PROJECT, Tables
from worker.db.records import Records

VERSION = datetime.datetime(2026, 7, 1, 10)
HOST = "h1@b1#p1"
IDS = tuple(f"{number}" * 8 + "-0000-4000-8000-000000000000" for number in range(1, 4))


@pytest.fixture
def volumes(records: Records) -> tuple[str, ...]:
    for volume_id in IDS:
        given = {"project_id": PROJECT, "user_id": "u", "host": HOST, "size": 2}
        records.volumes.create(id=volume_id, status="available", **given)
        records.image_cache.add(volume_id, "i1", VERSION)
    return IDS


def ids(entries: Any) -> list[str]:
    return [entry.volume_id for entry in entries]


def test_an_entry_has_the_place_and_the_size_of_its_volume(
    records: Records, volumes: tuple[str, ...], tables: Tables
) -> None:
    row = tables.row("image_volume_cache_entries", volume_id=volumes[0])

    assert (row["host"], row["size"], row["image_id"]) == (HOST, 2, "i1")
    assert row["image_updated_at"] == VERSION


def test_a_volume_has_one_and_only_while_it_is_available(
    records: Records, volumes: tuple[str, ...]
) -> None:
    records.image_cache.add(volumes[0], "i1", VERSION)
    records.volumes.update(volumes[1], status="deleting")
    [entry] = [one for one in records.image_cache.every() if one.volume_id == volumes[1]]
    records.image_cache.remove(entry.id)
    records.image_cache.add(volumes[1], "i1", VERSION)

    assert sorted(ids(records.image_cache.every())) == [volumes[0], volumes[2]]


def test_a_use_makes_it_the_last_and_notes_its_place(
    records: Records, volumes: tuple[str, ...], tables: Tables
) -> None:
    long_ago = datetime.datetime(2020, 1, 1)
    for row in tables.rows("image_volume_cache_entries"):
        tables.set("image_volume_cache_entries", row["id"], last_used=long_ago)
    records.volumes.update(volumes[1], host="h1@b1#p2")
    found = {one.volume_id: one for one in records.image_cache.of_image("i1")}
    assert found[volumes[1]].host == "h1@b1#p2"

    records.image_cache.use(found[volumes[1]])

    assert ids(records.image_cache.of_image("i1"))[0] == volumes[1]
    assert ids(records.image_cache.every())[-1] == volumes[1]
    assert records.image_cache.of_image("i2") == []
    assert tables.row("image_volume_cache_entries", volume_id=volumes[1])["host"] == "h1@b1#p2"


def test_an_entry_goes_with_its_volume(records: Records, volumes: tuple[str, ...]) -> None:
    records.volumes.destroy(volumes[0])

    assert sorted(ids(records.image_cache.every())) == [volumes[1], volumes[2]]


def test_an_entry_of_a_volume_that_is_gone_shows_it(
    records: Records, volumes: tuple[str, ...], tables: Tables
) -> None:
    tables.set("volumes", volumes[0], deleted=True)

    statuses = {one.volume_id: one.volume_status for one in records.image_cache.every()}
    assert statuses == {volumes[0]: None, volumes[1]: "available", volumes[2]: "available"}
