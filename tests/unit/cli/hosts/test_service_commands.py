# SPDX-License-Identifier: Apache-2.0
"""holdfast service: enable, disable, remove; holdfast cluster: list, remove."""

from __future__ import annotations

import pytest

from drivers.interface.records import Record
from tests.unit.cli.conftest import Shell
from tests.unit.cli.hosts.test_cluster_commands import BINARY, LONG_AGO, member


def row(holdfast: Shell, host: str) -> Record:
    (found,) = holdfast.records.services.list(host=host, binary=BINARY)
    return found


def test_a_service_is_disabled_with_a_reason_and_enabled_again(holdfast: Shell, b: str) -> None:
    member(holdfast, f"h1@{b}", None, runs=True)
    (disabled,) = holdfast("service", "disable", f"h1@{b}", "--reason", "disk", "-f", "json").rows
    during = row(holdfast, f"h1@{b}")
    enabled = holdfast("service", "enable", f"h1@{b}")
    after = row(holdfast, f"h1@{b}")

    assert disabled == {
        "binary": BINARY,
        "host": f"h1@{b}",
        "cluster": "",
        "outcome": "disabled",
        "reason": "disk",
    }
    assert (during.disabled, during.disabled_reason) == (True, "disk")
    assert during.modified_at is not None
    assert enabled.status == 0
    assert (after.disabled, after.disabled_reason) == (False, None)


def test_a_cluster_is_disabled_with_its_services(holdfast: Shell, b: str) -> None:
    member(holdfast, f"h1@{b}", f"c@{b}", runs=True)
    member(holdfast, f"h2@{b}", f"c@{b}", runs=True)
    done = holdfast("service", "disable", "--cluster", f"c@{b}", "--reason", "disk")
    cluster = holdfast.records.services.cluster(f"c@{b}", BINARY)

    assert done.status == 0
    assert cluster is not None
    assert (cluster.disabled, cluster.disabled_reason) == (True, "disk")
    assert all(row(holdfast, f"{host}@{b}").disabled for host in ("h1", "h2"))


def test_a_frozen_service_is_thawed_by_its_driver(holdfast: Shell, b: str) -> None:
    made = member(holdfast, f"h1@{b}", None, runs=True)
    holdfast.records.services.update(made, disabled=True, frozen=True)
    done = holdfast("service", "enable", f"h1@{b}")

    assert done.status == 1
    assert f"holdfast host thaw h1@{b}" in done.errors[0]
    assert row(holdfast, f"h1@{b}").disabled is True


def test_a_service_that_has_ended_is_removed(holdfast: Shell, b: str) -> None:
    member(holdfast, f"h1@{b}", None)
    done = holdfast("service", "remove", f"h1@{b}", "-f", "json")
    again = holdfast("service", "remove", f"h1@{b}")

    assert (done.status, done.rows[0]["outcome"]) == (0, "removed")
    assert holdfast.records.services.list(host=f"h1@{b}") == []
    assert again.status == 1
    assert again.errors == [f"there is no service h1@{b}; see: holdfast service list"]


def test_a_service_that_is_up_is_not_removed(holdfast: Shell, b: str) -> None:
    member(holdfast, f"h1@{b}", None, runs=True)
    done = holdfast("service", "remove", f"h1@{b}")

    assert (done.status, len(done.errors)) == (1, 1)
    assert row(holdfast, f"h1@{b}").deleted is False


@pytest.mark.parametrize("words", [(), ("",), ("--cluster", "")])
def test_a_missing_name_is_wrong_usage(holdfast: Shell, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        holdfast("service", "remove", *words)

    assert caught.value.code == 2


def test_clusters_are_listed_with_hosts_that_are_down(holdfast: Shell, b: str) -> None:
    member(holdfast, f"h1@{b}", f"c@{b}", runs=True)
    member(holdfast, f"h2@{b}", f"c@{b}")
    rows = {one["name"]: one for one in holdfast("cluster", "list", "-f", "json").rows}
    found = rows[f"c@{b}"]

    assert (found["state"], found["hosts"], found["down_hosts"]) == ("up", 2, 1)


def test_a_cluster_is_removed_when_its_services_have_ended(holdfast: Shell, b: str) -> None:
    made = member(holdfast, f"h1@{b}", f"c@{b}", runs=True)
    refused = holdfast("cluster", "remove", f"c@{b}")
    up = holdfast("cluster", "remove", f"c@{b}", "--recursive")
    holdfast.records.services.update(made, updated_at=LONG_AGO)
    done = holdfast("cluster", "remove", f"c@{b}", "--recursive", "-f", "json")

    assert [one.status for one in (refused, up, done)] == [1, 1, 0]
    assert done.rows[0]["services_removed"] == 1
    assert holdfast.records.services.cluster(f"c@{b}", BINARY) is None
    assert holdfast("cluster", "remove", f"c@{b}").status == 1
    member(holdfast, f"h2@{b}", f"c@{b}")
    assert holdfast.records.services.cluster(f"c@{b}", BINARY) is not None
