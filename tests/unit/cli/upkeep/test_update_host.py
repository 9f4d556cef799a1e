# SPDX-License-Identifier: Apache-2.0
"""holdfast volume, group, backup update-host: the rows of a host get another one."""

from __future__ import annotations

import datetime
import uuid

import pytest

from tests.unit.cli.conftest import Shell

LONG_AGO = datetime.datetime(2020, 1, 1)


def service(holdfast: Shell, host: str, *, up: bool = False, binary: str = "cinder-volume") -> str:
    row = holdfast.records.services.ensure(
        host=host,
        binary=binary,
        topic=binary,
        availability_zone="nova",
        rpc_version="3.20",
        object_version="1.39",
    )
    if not up:
        holdfast.records.services.update(row.id, updated_at=LONG_AGO)
    return str(row.uuid)


def volume(holdfast: Shell, host: str) -> str:
    made = holdfast.records.volumes.create(id=str(uuid.uuid4()), host=host, status="available")
    return str(made.id)


def host_of(holdfast: Shell, volume_id: str) -> str:
    return str(holdfast.records.volumes.get(volume_id).host)


def test_volumes_and_groups_keep_their_pools(holdfast: Shell, b: str) -> None:
    service(holdfast, f"h1@{b}")
    new = service(holdfast, f"h2@{b}", up=True)
    ids = [volume(holdfast, f"h1@{b}{pool}") for pool in ("", "#p", "#q")]
    other = volume(holdfast, f"h1@{b}x#p")
    group = holdfast.records.groups.create(host=f"h1@{b}#p", status="available")
    ran = holdfast("volume", "update-host", "--from", f"h1@{b}", "--to", f"h2@{b}", "-f", "json")

    assert ran.status == 0, ran.errors
    assert {row["table"]: row["rows"] for row in ran.rows} == {
        "volumes": 3,
        "groups": 1,
        "consistencygroups": 0,
        "image_volume_cache_entries": 0,
    }
    assert [host_of(holdfast, one) for one in ids] == [f"h2@{b}", f"h2@{b}#p", f"h2@{b}#q"]
    assert {holdfast.records.volumes.get(one).service_uuid for one in ids} == {new}
    assert host_of(holdfast, other) == f"h1@{b}x#p"
    assert holdfast.records.groups.get(group.id).host == f"h2@{b}#p"


def test_a_node_is_renamed_with_its_backends(holdfast: Shell, b: str) -> None:
    service(holdfast, f"new{b}@x", up=True)
    moved = volume(holdfast, f"old{b}@x#p")
    ran = holdfast("volume", "update-host", "--from", f"old{b}", "--to", f"new{b}")

    assert ran.status == 0, ran.errors
    assert host_of(holdfast, moved) == f"new{b}@x#p"


def test_a_pool_is_added(holdfast: Shell, b: str) -> None:
    service(holdfast, f"h1@{b}")
    moved = volume(holdfast, f"h1@{b}")
    ran = holdfast("volume", "update-host", "--from", f"h1@{b}", "--to", f"h1@{b}#p")

    assert ran.status == 0, ran.errors
    assert host_of(holdfast, moved) == f"h1@{b}#p"


def test_a_dry_run_counts(holdfast: Shell, b: str) -> None:
    service(holdfast, f"h2@{b}")
    kept = volume(holdfast, f"h1@{b}#p")
    words = ("--from", f"h1@{b}", "--to", f"h2@{b}", "--dry-run", "-f", "json")
    ran = holdfast("volume", "update-host", *words)

    assert (ran.status, ran.rows[0]["rows"], ran.rows[0]["outcome"]) == (0, 1, "would change")
    assert host_of(holdfast, kept) == f"h1@{b}#p"


@pytest.mark.parametrize(
    ("up", "to", "reason"),
    [
        (True, "h2@{b}", "the service h1@{b} is up"),
        (False, "h3@{b}", "there is no cinder-volume h3@{b}"),
        (False, "h2", "are not both nodes, backends or pools"),
        (False, "h1@{b}", "both hosts are"),
    ],
)
def test_a_host_in_use_or_without_a_service_is_refused(
    holdfast: Shell, b: str, up: bool, to: str, reason: str
) -> None:
    service(holdfast, f"h1@{b}", up=up)
    service(holdfast, f"h2@{b}", up=True)
    kept = volume(holdfast, f"h1@{b}#p")
    words = ("--from", f"h1@{b}", "--to", to.format(b=b))
    ran = holdfast("volume", "update-host", *words)

    assert ran.status == 1
    assert reason.format(b=b) in ran.errors[0]
    assert host_of(holdfast, kept) == f"h1@{b}#p"


def test_backups_get_another_host_to_the_letter(holdfast: Shell, b: str) -> None:
    service(holdfast, f"n2{b}", up=True, binary="cinder-backup")
    backups = holdfast.records.backups
    moved = backups.create(volume_id="v", host=f"n1{b}", status="available")
    kept = backups.create(volume_id="v", host=f"n1{b}x", status="available")
    ran = holdfast("backup", "update-host", "--from", f"n1{b}", "--to", f"n2{b}")
    again = holdfast("backup", "update-host", "--from", f"n1{b}", "--to", f"n2{b}")

    assert (ran.status, again.status) == (0, 1)
    assert backups.get(moved.id).host == f"n2{b}"
    assert backups.get(kept.id).host == f"n1{b}x"
    assert again.errors == [f"no backup has the host n1{b}"]


def test_an_empty_host_is_wrong_usage(holdfast: Shell) -> None:
    with pytest.raises(SystemExit) as caught:
        holdfast("volume", "update-host", "--from", "", "--to", "h2@x")

    assert caught.value.code == 2
