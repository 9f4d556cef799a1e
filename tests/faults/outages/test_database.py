# SPDX-License-Identifier: Apache-2.0
"""The database goes away while an operation stands at each boundary of its tasks."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.conftest import require
from tests.faults.outages import kinds, work
from tests.faults.outages.lengths import LENGTHS
from tests.functional.cloud import Cloud
from tests.servers import MariaDB, PostgreSQL, Servers

KINDS = {"mysql": "mariadb", "postgresql": "postgresql"}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", ["mysql", pytest.param("postgresql", marks=pytest.mark.full)])
def test_stopped_at_every_task_boundary(
    servers: Servers,
    make_cloud: Callable[..., Cloud],
    new_database: Callable[[str], str],
    gate: work.Gate,
    kind: str,
    length: float,
) -> None:
    require(MariaDB, PostgreSQL)
    cloud = make_cloud(new_database(kind))
    cloud.service.start()
    jobs = work.at_every_point(cloud, gate)
    outage = kinds.database_stopped(getattr(servers, KINDS[kind]))
    before = cloud.service.position()
    with outage.during():
        gate.open()
        time.sleep(length)
    work.check(cloud, jobs)

    log = cloud.service.text(before)
    assert outage.told
    work.told_once(log, outage.told, length - 1, length + 30)
    work.quiet(log)
