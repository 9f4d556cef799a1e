# SPDX-License-Identifier: Apache-2.0
"""URLs as cinder.conf files have them."""

from __future__ import annotations

import importlib.util

import pytest

from worker import database_url, entry_points


@pytest.fixture
def installed(monkeypatch):
    """A function that says which drivers there are."""

    def only(*modules: str) -> None:
        find = lambda name: object() if name in modules else None  # noqa: E731
        monkeypatch.setattr(importlib.util, "find_spec", find)

    return only


@pytest.mark.parametrize(
    ("modules", "address", "driver"),
    [
        (["psycopg2"], "postgresql://u:p@h/d", "postgresql+psycopg2"),
        (["psycopg"], "postgresql://u:p@h/d", "postgresql+psycopg"),
        (["psycopg", "psycopg2"], "postgresql://u:p@h/d", "postgresql+psycopg2"),
        ([], "postgresql://u:p@h/d", "postgresql"),
        (["psycopg2"], "postgresql+psycopg://u:p@h/d", "postgresql+psycopg"),
        (["pymysql"], "mysql://u:p@h/d", "mysql+pymysql"),
        (["MySQLdb"], "mysql://u:p@h/d", "mysql+mysqldb"),
        (["pymysql"], "mysql+mysqldb://u:p@h/d", "mysql+mysqldb"),
        ([], "sqlite:////x", "sqlite"),
    ],
)
def test_a_driver_that_is_installed(installed, modules, address, driver):
    installed(*modules)
    parsed = database_url.parse(address)

    assert parsed.drivername == driver
    assert parsed.password == ("p" if parsed.host else None)


def test_the_drivers_of_the_extras_are_found():
    assert database_url.parse("postgresql://h/d").get_dialect().driver == "psycopg2"
    assert database_url.parse("mysql://h/d").get_dialect().driver == "pymysql"


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("charset=utf8&plugin=dbcounter", {"charset": "utf8"}),
        ("plugin=dbcounter", {}),
        ("plugin=dbcounter&plugin=other", {}),
        ("charset=utf8", {"charset": "utf8"}),
    ],
)
def test_plugins_that_are_not_installed_are_left_out(query, left):
    """DevStack's addresses name one that counts statements."""
    address = f"mysql+pymysql://u:p@h/d?{query}"
    parsed = database_url.parse(address)

    assert dict(parsed.query) == left
    assert database_url.missing_plugins(address) == [
        part.removeprefix("plugin=") for part in query.split("&") if part.startswith("plugin")
    ]


def test_plugins_that_are_installed_stay(monkeypatch):
    found = {"sqlalchemy.plugins": frozenset({"here"})}
    monkeypatch.setattr(entry_points, "names", found.__getitem__)

    parsed = database_url.parse("mysql+pymysql://u:p@h/d?plugin=here&plugin=dbcounter")
    assert database_url._plugins(parsed) == ("here",)
