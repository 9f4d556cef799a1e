# SPDX-License-Identifier: Apache-2.0
"""URLs as cinder.conf files have them."""

from __future__ import annotations

import importlib.util

import pytest

from worker import database_url


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
