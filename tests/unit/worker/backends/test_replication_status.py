# SPDX-License-Identifier: Apache-2.0
"""A driver says whose replication has failed by itself, and it is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.flows.world.orphans import HOST, Left
from worker.backends.replication_status import note_errors
from worker.db.criteria import BackendRows

FAILED = {"replication_status": "error"}


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Left]:
    made = Left(tmp_path)
    yield made
    made.database.dispose()


def told(left: Left, answer: Any, stats: Any = FAILED) -> int:
    """Note the answer of a driver; return how often it was called."""
    asked = []

    def ask(context: Any, groups: Any) -> Any:
        asked.append(groups)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    driver: Any = SimpleNamespace(get_replication_error_status=ask)
    note_errors(left.records, driver, BackendRows(HOST), stats)
    return len(asked)


def replication(left: Left, kind: str, row_id: str) -> Any:
    return left.status(row_id, kind, "replication_status")


def test_what_has_failed_is_written(left: Left) -> None:
    group = left.group("available", replication_status="enabled")
    volume = left.volume("available", replication_status="enabled")
    other = left.volume("available", replication_status="enabled")
    answer = ([{"group_id": group, **FAILED}], [{"volume_id": volume, **FAILED}])

    assert told(left, answer) == 1
    assert replication(left, "group", group) == "error"
    assert replication(left, "volume", volume) == "error"
    assert replication(left, "volume", other) == "enabled"


@pytest.mark.parametrize("stats", [{}, {"replication_status": "enabled"}])
def test_a_driver_that_is_well_is_not_asked(left: Left, stats: Any) -> None:
    assert told(left, (None, None), stats) == 0


@pytest.mark.parametrize("answer", [(None, None), OSError("no"), NotImplementedError(), 7, None])
def test_nothing_to_say(left: Left, answer: Any) -> None:
    assert told(left, answer) == 1


def test_what_makes_no_sense_does_not_keep_the_rest(left: Left) -> None:
    volume = left.volume("available", replication_status="enabled")
    rubbish: list[Any] = [7, {}, {"volume_id": "nobody", **FAILED}]
    rubbish += [{"volume_id": volume, "project_id": "x"}, {"volume_id": volume, "no_such": 1}]
    told(left, (None, [*rubbish, {"volume_id": volume, **FAILED}]))

    assert replication(left, "volume", volume) == "error"
