# SPDX-License-Identifier: Apache-2.0
"""Rows that a service of a cluster, or of none, takes for its own, and the columns it writes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from drivers.interface.records import Record
from flows.driver_calls import creation_place, driver_contract
from flows.errors import Invalid

HOST, CLUSTER = "h1@b", "c@b"


def context(cluster: str | None) -> Any:
    """Return a context of the host, in a cluster or not."""
    return SimpleNamespace(backend=SimpleNamespace(host=HOST, cluster=cluster))


def row(host: str | None, cluster_name: str | None) -> Record:
    """Return the row of a volume."""
    return Record("volume", {"id": "v", "host": host, "cluster_name": cluster_name})


@pytest.mark.parametrize(
    ("host", "cluster_name", "of_cluster", "of_host"),
    [
        # ours, of a host that may be gone, of a pool
        ("h1@b#p", "c@b#p", True, True),
        ("h2@b#p", "c@b#p", True, False),
        (None, "c@b", True, False),
        # never joined
        ("h1@b#p", None, True, True),
        ("h1@b", "", True, True),
        ("h2@b#p", None, False, False),
        # another cluster, another backend
        ("h1@b#p", "d@b#p", False, True),
        ("h1@b#p", "c@bb#p", False, True),
        ("h1@bb#p", "c@bb#p", False, False),
        (None, None, False, False),
    ],
)
def test_rows_of_a_cluster_are_its_own_by_its_name(
    host: str | None, cluster_name: str | None, of_cluster: bool, of_host: bool
) -> None:
    for cluster, ours in ((CLUSTER, of_cluster), (None, of_host)):
        ctx, found = context(cluster), row(host, cluster_name)
        assert driver_contract.on_this_backend(ctx, found) is ours
        if ours:
            driver_contract.require_on_this_backend(ctx, found, found)
        else:
            with pytest.raises(Invalid, match=f"not on {cluster or HOST}"):
                driver_contract.require_on_this_backend(ctx, found, found)


def test_a_destination_is_compared_as_a_row_is() -> None:
    """The API sends the host and the cluster of a backend, of which we may be one host."""
    destination = {"host": "h2@b#p", "cluster_name": "c@b#p", "capabilities": {}}

    assert driver_contract.on_this_backend(context(CLUSTER), destination)
    assert not driver_contract.on_this_backend(context(None), destination)


@pytest.mark.parametrize(
    ("host", "cluster_name", "written"),
    [
        ("h1@b#p", "c@b#p", {}),
        ("h2@b#p", "c@b#p", {"host": "h1@b#p"}),
        ("h2@b", "c@b", {"host": "h1@b"}),
        ("h1@b#p", None, {"cluster_name": "c@b#p"}),
    ],
)
def test_the_host_that_creates_writes_its_name(
    host: str, cluster_name: str | None, written: dict[str, str]
) -> None:
    found = row(host, cluster_name)

    assert creation_place.columns(context(CLUSTER).backend, found) == written
    assert creation_place.columns(context(None).backend, found) == {}
