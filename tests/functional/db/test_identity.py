# SPDX-License-Identifier: Apache-2.0
"""A database's own name: one for all addresses of it, and none that another database has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from worker.db.database import Database
from worker.service.fence import identity_of


@contextlib.contextmanager
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    yield made
    made.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "mysql", "postgresql"])
def test_the_name_of_a_database(new_database: Callable[[str], str], kind: str) -> None:
    one, other = new_database(kind), new_database(kind)

    with database(one) as first, database(other) as second:
        names = [identity_of(first), identity_of(second)]

    assert len(set(names)) == 2
    if kind == "sqlite":
        return
    spelled = sa.make_url(one).set(host="localhost").render_as_string(hide_password=False)
    assert spelled != one
    with database(spelled) as same:
        assert identity_of(same) == names[0]
        assert identity_of(same) != same.shown
