# SPDX-License-Identifier: Apache-2.0
"""holdfast quota check and sync: usages against rows and reservations."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from tests.unit.cli.conftest import Shell
from worker.db import models
from worker.db.database import Database

_Q, _R = models.quota_usages, models.reservations


@pytest.fixture
def project() -> str:
    """The id of a project that no other test has."""
    return uuid.uuid4().hex


class Tables:
    """The tables of quota, of one project."""

    def __init__(self, holdfast: Shell, project: str) -> None:
        self._database = Database.from_conf(holdfast.conf)
        self._project = project

    def usage(self, resource: str, in_use: int, reserved: int = 0, **more: Any) -> int:
        row = {"project_id": self._project, "resource": resource, "deleted": False, **more}
        row |= {"in_use": in_use, "reserved": reserved}
        with self._database.writer() as connection:
            key = connection.execute(sa.insert(_Q).values(**row)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def reserve(self, usage: int, delta: int) -> None:
        row = {"uuid": str(uuid.uuid4()), "usage_id": usage, "delta": delta, "deleted": False}
        with self._database.writer() as connection:
            connection.execute(sa.insert(_R).values(**row))

    def usages(self) -> list[tuple[str, int, int]]:
        query = sa.select(_Q.c.resource, _Q.c.in_use, _Q.c.reserved).order_by(_Q.c.resource)
        query = query.where(_Q.c.project_id == self._project)
        return [tuple(row) for row in self._database.rows(query)]


@pytest.fixture
def tables(holdfast: Shell, project: str) -> Tables:
    """The tables of quota."""
    return Tables(holdfast, project)


def volume(holdfast: Shell, project: str, size: int) -> None:
    holdfast.records.volumes.create(project_id=project, size=size, status="available")


def words(project: str) -> tuple[str, ...]:
    return "--project", project, "-f", "json"


def test_differences_are_listed_and_corrected(
    holdfast: Shell, project: str, tables: Tables
) -> None:
    volume(holdfast, project, 3)
    tables.usage("volumes", 7)
    tables.usage("gigabytes", 3, reserved=2)
    tables.usage("unknown", 9)
    checked = holdfast("quota", "check", *words(project))
    synced = holdfast("quota", "sync", *words(project))
    again = holdfast("quota", "check", *words(project))

    assert checked.status == 1
    assert [tuple(row.values())[1:] for row in checked.rows] == [
        ("volumes", "in_use", 7, 1, "differs"),
        ("gigabytes", "reserved", 2, 0, "differs"),
    ]
    assert synced.status == 0
    assert [row["outcome"] for row in synced.rows] == ["corrected", "corrected"]
    assert (again.status, again.rows) == (0, [])
    assert tables.usages() == [("gigabytes", 3, 0), ("unknown", 9, 0), ("volumes", 1, 0)]


def test_the_amount_in_use_waits_for_open_reservations(
    holdfast: Shell, project: str, tables: Tables
) -> None:
    volume(holdfast, project, 3)
    tables.reserve(tables.usage("gigabytes", 0, reserved=1), 3)
    holdfast("quota", "sync", *words(project))

    assert tables.usages() == [("gigabytes", 0, 3)]


def test_several_rows_of_one_usage_become_one(
    holdfast: Shell, project: str, tables: Tables
) -> None:
    volume(holdfast, project, 1)
    tables.usage("volumes", 1)
    second = tables.usage("volumes", 1, reserved=1)
    tables.reserve(second, 1)
    checked = holdfast("quota", "check", *words(project)).rows
    holdfast("quota", "sync", *words(project))

    assert [(row["column"], row["saved"], row["actual"]) for row in checked] == [("rows", 2, 1)]
    assert tables.usages() == [("volumes", 2, 1)]


def test_a_project_without_usages_is_an_error(holdfast: Shell, project: str) -> None:
    ran = holdfast("quota", "check", "--project", project)

    assert (ran.status, ran.errors) == (1, [f"project {project} has no quota usages"])
