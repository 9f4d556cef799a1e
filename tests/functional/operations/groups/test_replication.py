# SPDX-License-Identifier: Apache-2.0
"""Replication of generic groups over the bus (spec/volume-rpc, *Replication and maintenance*)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.cloud import REQUEST, Cloud, encoded
from tests.functional.operations.groups.rows import Group, filled, group_of_two
from tests.servers import until

METHODS = {
    "enable_replication": ("enabling", "enabled"),
    "disable_replication": ("disabling", "disabled"),
    "failover_replication": ("failing-over", "failed-over"),
}
ALL = pytest.mark.parametrize("method", METHODS)
ERROR = ("error", "error")


def replicating(cloud: Cloud, during: str) -> Group:
    group = group_of_two(cloud, "group", "available", "available", replication_status=during)
    cloud.records.groups.update(group.record.id, replication_status=during)
    return group


def play(group: Group, method: str, plan: dict[str, Any] | None = None, **args: Any) -> None:
    cloud, during = group.cloud, METHODS[method][0]
    cloud.script.plan(**({method: plan} if plan else {}))
    cloud.cast(method, "3.14", group=group.record, **args)
    until(lambda: group.stored().replication_status != during, 60, "the operation to end")
    cloud.wait_idle()


def ends(group: Group) -> tuple[tuple[str, str], ...]:
    """Return status and replication status of the group and of A and B."""
    volumes = [group.cloud.records.volumes.get(one.id) for one in group.members]
    return tuple((one.status, one.replication_status) for one in (group.stored(), *volumes))


@ALL
def test_a_success(cloud: Cloud, method: str) -> None:
    group = replicating(cloud, METHODS[method][0])
    play(group, method)
    (call,) = [c for c in cloud.script.calls(method) if c["id"] == group.record.id]

    assert set(call["members"]) == set(group.ids.values())
    assert call["targets"] == ([None] if method == "failover_replication" else [])
    assert set(ends(group)) == {("available", METHODS[method][1])}


@pytest.mark.parametrize(("target", "status"), [("second", "failed-over"), ("default", "enabled")])
def test_targets(cloud: Cloud, target: str, status: str) -> None:
    group = replicating(cloud, "failing-over")
    play(group, "failover_replication", secondary_backend_id=target)

    assert cloud.script.calls("failover_replication")[-1]["targets"] == [target]
    assert set(ends(group)) == {("available", status)}


@ALL
@pytest.mark.parametrize(
    ("answer", "group_ends", "a", "b"),
    [
        (None, "fine", "fine", "fine"),
        ([{"description": "there"}, None], "fine", "fine", "fine"),
        ([{"replication_status": "enabled"}, []], "fine", "fine", "fine"),
        ([None, [{"id": "A", "replication_status": "enabled"}]], "fine", "fine", "fine"),
        ([None, [{"id": "A", "provider_id": "there"}]], "fine", "fine", "fine"),
        (
            [None, [{"id": "A", "replication_status": "error"}]],
            ERROR,
            ("available", "error"),
            ERROR,
        ),
        ([{}, [{"id": "A", "replication_status": "error"}]], ERROR, ("available", "error"), ERROR),
        (
            [None, [{"id": "A", "status": "error", "replication_status": "error"}]],
            ERROR,
            ERROR,
            ERROR,
        ),
        (
            [
                {"replication_status": "error"},
                [
                    {"id": "A", "replication_status": "enabled"},
                    {"id": "B", "replication_status": "enabling"},
                ],
            ],
            ERROR,
            ("available", "enabled"),
            ERROR,
        ),
        ([{"replication_status": "error"}, None], ERROR, ERROR, ERROR),
        (7, ERROR, ERROR, ERROR),
        ([None], ERROR, ERROR, ERROR),
        ([None, [{"id": "nobody"}]], ERROR, ERROR, ERROR),
        ([{"no_such": 1}, None], ERROR, ERROR, ERROR),
        ([{"name": "x" * 300}, None], ERROR, ERROR, ERROR),
    ],
    ids=lambda value: f"{value!r:.60}",
)
def test_what_a_driver_answers(
    cloud: Cloud, method: str, answer: Any, group_ends: Any, a: Any, b: Any
) -> None:
    group = replicating(cloud, METHODS[method][0])
    play(group, method, {"return": filled(answer, group.ids)})

    fine = ("available", METHODS[method][1])
    assert ends(group) == tuple(fine if one == "fine" else one for one in (group_ends, a, b))


@ALL
@pytest.mark.parametrize("error", ["VolumeBackendAPIException", "KeyError", "NotImplementedError"])
def test_what_a_driver_raises(cloud: Cloud, method: str, error: str) -> None:
    group = replicating(cloud, METHODS[method][0])
    play(group, method, {"raise": error})

    assert ends(group) == (ERROR, ERROR, ERROR)


@pytest.mark.parametrize("allowed", [False, True])
def test_volumes_in_use(cloud: Cloud, allowed: bool) -> None:
    group = replicating(cloud, "failing-over")
    cloud.records.volumes.update(group.members[0].id, status="in-use")
    play(group, "failover_replication", allow_attached_volume=allowed)

    assert ends(group)[1] == ("in-use", "failed-over" if allowed else "error")
    assert ends(group)[0][0] == ("available" if allowed else "error")


@pytest.mark.parametrize("admin", [False, True])
def test_targets_are_listed_in_whole_for_an_administrator(cloud: Cloud, admin: bool) -> None:
    client, sent = cloud.client("3.14"), encoded({"group": cloud.group("available")})
    answer = client.call({**REQUEST, "is_admin": admin}, "list_replication_targets", **sent)

    whole = [{"backend_id": "second", "key": "a"}, {"backend_id": "third"}]
    names = [{"backend_id": "second"}, {"backend_id": "third"}]
    assert answer == {"replication_targets": whole if admin else names}


def test_targets_of_a_group_that_is_gone(cloud: Cloud) -> None:
    group = cloud.group("available")
    cloud.records.groups.destroy(group.id)
    failed, text = cloud.failure("list_replication_targets", "3.14", group=group)

    assert (failed, group.id in text) == ("VolumeBackendAPIException", True)
