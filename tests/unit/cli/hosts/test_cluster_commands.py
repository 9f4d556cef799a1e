# SPDX-License-Identifier: Apache-2.0
"""holdfast cluster: rename a cluster, and leave it."""

from __future__ import annotations

import datetime

import pytest

from tests.unit.cli.conftest import Shell
from worker.cli.access import Access
from worker.cli.hosts import clusters

BINARY = "cinder-volume"
LONG_AGO = datetime.datetime(2020, 1, 1)


def member(holdfast: Shell, host: str, cluster: str | None, *, runs: bool = False) -> int:
    """Insert the row of a volume service, with a volume of its host; return its id."""
    made = holdfast.records.services.ensure(
        host=host,
        binary=BINARY,
        topic=BINARY,
        availability_zone="nova",
        rpc_version="3.20",
        object_version="1.39",
        cluster=cluster,
    )
    named = cluster and f"{cluster}#p"
    holdfast.records.volumes.create(id=f"v-{host}", host=f"{host}#p", cluster_name=named)
    if not runs:
        holdfast.records.services.update(made.id, updated_at=LONG_AGO)
    return int(made.id)


def names(holdfast: Shell, b: str) -> dict[str, str | None]:
    """Return the clusters of the services of a backend, and of their volumes."""
    records = holdfast.records
    found = {row.host: row.cluster_name for row in records.services.list(binary=BINARY)}
    found |= {row.id: row.cluster_name for row in records.volumes.list()}
    return {name: cluster for name, cluster in found.items() if name.endswith(f"@{b}")}


def test_a_cluster_gets_another_name_with_all_that_is_in_it(holdfast: Shell, b: str) -> None:
    for host in (f"h1@{b}", f"h2@{b}"):
        member(holdfast, host, f"c@{b}")
    member(holdfast, f"h3@{b}", f"cc@{b}")
    done = holdfast("cluster", "rename", f"c@{b}", f"d@{b}")

    assert done.out == f"2 services and 2 resources belong to cluster d@{b} now\n"
    assert names(holdfast, b) == {
        f"h1@{b}": f"d@{b}",
        f"h2@{b}": f"d@{b}",
        f"h3@{b}": f"cc@{b}",
        f"v-h1@{b}": f"d@{b}#p",
        f"v-h2@{b}": f"d@{b}#p",
        f"v-h3@{b}": f"cc@{b}#p",
    }
    assert holdfast.records.services.cluster(f"c@{b}", BINARY) is None
    assert holdfast.records.services.cluster(f"d@{b}", BINARY) is not None


class SharedSlots:
    """The slots of a journal on a server."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def of_pool(self, pool: str) -> list[object]:
        self.calls.append(("read", pool))
        return []

    def rename_pool(self, former: str, pool: str) -> int:
        self.calls.append(("renamed", former, pool))
        return 3


def test_operations_of_hosts_that_do_not_come_back_stay_with_a_renamed_cluster(
    holdfast: Shell, b: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = SharedSlots()
    monkeypatch.setattr(Access, "journal_file", None)
    monkeypatch.setattr(clusters, "table_of", lambda _access: slots)
    member(holdfast, f"h1@{b}", f"c@{b}")
    done = holdfast("cluster", "rename", f"c@{b}", f"d@{b}")

    assert done.out.splitlines()[1:] == ["3 slots of the journal belong to its pool"]
    assert slots.calls == [("read", f"c@{b}"), ("renamed", f"c@{b}", f"d@{b}")]


def test_a_cluster_that_is_there_takes_another_one_over(holdfast: Shell, b: str) -> None:
    member(holdfast, f"h1@{b}", f"c@{b}")
    member(holdfast, f"h2@{b}", f"d@{b}")
    assert holdfast("cluster", "rename", f"c@{b}", f"d@{b}").status == 0
    member(holdfast, f"h3@{b}", f"c@{b}")

    assert names(holdfast, b)[f"h1@{b}"] == f"d@{b}"
    assert holdfast.records.services.cluster(f"c@{b}", BINARY) is not None


def test_a_host_leaves_with_the_resources_that_it_has_created(holdfast: Shell, b: str) -> None:
    for host in (f"h1@{b}", f"h2@{b}"):
        member(holdfast, host, f"c@{b}")
    done = holdfast("cluster", "leave", f"h1@{b}")

    assert done.out == f"h1@{b} and 1 resources belong to no cluster now\n"
    assert names(holdfast, b) == {
        f"h1@{b}": None,
        f"h2@{b}": f"c@{b}",
        f"v-h1@{b}": None,
        f"v-h2@{b}": f"c@{b}#p",
    }


@pytest.mark.parametrize("command", [("rename", "c@", "d@"), ("leave", "h1@")])
def test_a_service_that_runs_is_left_alone(
    holdfast: Shell, b: str, command: tuple[str, ...]
) -> None:
    member(holdfast, f"h1@{b}", f"c@{b}", runs=True)
    done = holdfast("cluster", command[0], *(f"{name}{b}" for name in command[1:]))

    assert done.errors == [f"h1@{b} is up; stop it, and wait 60 s (service_down_time)"]
    assert names(holdfast, b)[f"v-h1@{b}"] == f"c@{b}#p"


@pytest.mark.parametrize("name", ["", "c", "@b", "c@", "c@b#p"])
def test_a_name_without_a_backend_changes_nothing(holdfast: Shell, b: str, name: str) -> None:
    member(holdfast, f"h1@{b}", None)
    with pytest.raises(SystemExit) as caught:
        holdfast("cluster", "rename", name, f"d@{b}")

    assert caught.value.code == 2
    assert names(holdfast, b) == {f"h1@{b}": None, f"v-h1@{b}": None}


def test_a_host_without_a_service_is_named(holdfast: Shell, b: str) -> None:
    done = holdfast("cluster", "leave", f"h9@{b}")

    assert done.errors == [f"there is no volume service h9@{b}"]


def test_an_unknown_cluster_is_not_renamed(holdfast: Shell, b: str) -> None:
    done = holdfast("cluster", "rename", f"none@{b}", f"d@{b}")

    assert done.status == 1
    assert f"there is no cluster none@{b}" in done.errors[0]
