# SPDX-License-Identifier: Apache-2.0
"""holdfast cast against a running service: rows, waiting, answers, and rollback."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from drivers.image.directory import DirectoryImages
from tests.reading import part
from tests.unit.cli.conftest import Shell
from worker.rpc.clients.sender import BusUnavailable
from worker.rpc.clients.volume import VolumeClient

pytestmark = pytest.mark.usefixtures("service")

POOL = "cli@local#local"


def create(holdfast: Shell, *words: str) -> str:
    """Create a volume and return its id."""
    ran = holdfast("cast", "create_volume", "--wait", *(words or ("--size", "1")))
    assert (ran.status, ran.errors) == (0, [])
    return ran.out.split()[1]


def snapshot_of(holdfast: Shell, volume: str) -> str:
    """Snapshot a volume and return the snapshot's id."""
    ran = holdfast("cast", "create_snapshot", "--volume", volume, "--wait")
    assert (ran.status, ran.errors) == (0, [])
    return ran.out.split()[1]


def test_a_volume_lives_from_its_creation_to_its_deletion(holdfast: Shell, backend: Path) -> None:
    volume = create(holdfast, "--size", "1", "--name", "data")
    snapshot = snapshot_of(holdfast, volume[:8])
    copy = create(holdfast, "--snapshot", snapshot[:8])
    clone = create(holdfast, "--source", volume[:8], "--size", "2")
    steps = [
        ("revert_to_snapshot", "--snapshot", snapshot[:8]),
        ("extend_volume", "--volume", volume[:8], "--size", "3"),
        ("delete_snapshot", "--snapshot", snapshot[:8]),
    ]
    for words in steps:
        ran = holdfast("cast", *words, "--wait")
        assert (ran.status, ran.errors) == (0, []), words
    row = holdfast.records.volumes.get(volume)

    assert (row.display_name, row.size, row.host, row.status) == ("data", 3, POOL, "available")
    for one in (volume, copy, clone):
        ran = holdfast("cast", "delete_volume", "--volume", one, "--cascade", "--wait")
        assert ran.out.splitlines()[-1] == "deleted"
        assert not (backend / f"volume-{one}").exists()


def test_waiting_tells_each_task_with_its_time(holdfast: Shell) -> None:
    ran = holdfast("cast", "create_volume", "--size", "1", "--wait")
    lines = [line.split() for line in ran.out.splitlines()[1:-1]]
    ended = [line for line in lines if line[1] == "SUCCESS"]

    assert [line[0] for line in ended] == ["begin", "allocate", "finish"]
    assert all(line[2:] and line[3] == "s" for line in ended)


def test_what_ends_otherwise_than_wanted_is_told_with_its_reason(holdfast: Shell) -> None:
    volume = create(holdfast)
    snapshot_of(holdfast, volume)
    ran = holdfast("cast", "delete_volume", "--volume", volume, "--wait")

    assert ran.status == 1
    assert f"volume {volume} is available: VolumeIsBusy: " in ran.errors[0]
    assert "  remove           FAILED" in ran.out


def test_quota_is_counted_and_given_back(holdfast: Shell) -> None:
    ask = ("cast", "create_volume", "--project", "counted", "--wait", "--size")
    volume = holdfast(*ask, "40").out.split()[1]
    refused = holdfast(*ask, "20")
    holdfast("cast", "delete_volume", "--volume", volume, "--wait")

    assert refused.status == 1
    assert "over its quota: gigabytes: 20 wanted, 40 used" in refused.errors[0]
    assert holdfast(*ask, "20").status == 0


@pytest.fixture
def silent_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus that takes nothing."""

    def cast(*_args: object, **_options: object) -> None:
        raise BusUnavailable("it was not sent")

    monkeypatch.setattr(VolumeClient, "cast", cast)


@pytest.mark.usefixtures("silent_bus")
class TestWithoutABus:
    """A request that cannot be sent changes nothing."""

    @pytest.fixture
    def rows(self, holdfast: Shell, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
        """A volume with a snapshot, at rest."""
        host = {"host": POOL, "status": "available", "project_id": "rest", "user_id": "u"}
        volume = holdfast.records.volumes.create(size=1, **host)
        snapshot = holdfast.records.snapshots.create(
            volume_id=volume.id, status="available", project_id="rest", user_id="u"
        )
        return volume.id, snapshot.id

    @pytest.mark.parametrize("method", ["create_volume", "create_snapshot"])
    def test_nothing_is_made(self, holdfast: Shell, rows: tuple[str, str], method: str) -> None:
        volume, _ = rows
        words = {"create_volume": ("--size", "1"), "create_snapshot": ("--volume", volume)}
        before = self._counts(holdfast)
        ran = holdfast("cast", method, *words[method])

        assert (ran.status, ran.errors) == (1, ["it was not sent"])
        assert self._counts(holdfast) == before

    @pytest.mark.parametrize(
        ("method", "words"),
        [
            ("delete_volume", ("--volume", "{volume}", "--cascade")),
            ("delete_volume", ("--volume", "{volume}", "--unmanage")),
            ("extend_volume", ("--volume", "{volume}", "--size", "2")),
            ("delete_snapshot", ("--snapshot", "{snapshot}")),
            ("revert_to_snapshot", ("--snapshot", "{snapshot}")),
        ],
    )
    def test_no_status_is_left_behind(
        self, holdfast: Shell, rows: tuple[str, str], method: str, words: tuple[str, ...]
    ) -> None:
        volume, snapshot = rows
        ran = holdfast("cast", method, *(w.format(volume=volume, snapshot=snapshot) for w in words))

        assert ran.status == 1
        assert holdfast.records.volumes.get(volume).status == "available"
        assert holdfast.records.snapshots.get(snapshot).status == "available"

    def test_no_quota_is_kept(self, holdfast: Shell) -> None:
        for _ in range(3):
            ran = holdfast("cast", "create_volume", "--size", "40", "--project", "unsent")
            assert ran.errors == ["it was not sent"]

    @staticmethod
    def _counts(holdfast: Shell) -> tuple[int, int]:
        return len(holdfast.records.volumes.list()), len(holdfast.records.snapshots.list())


def test_a_half_prepared_request_is_taken_back(holdfast: Shell) -> None:
    volume = create(holdfast)
    snapshot = snapshot_of(holdfast, volume)
    holdfast.records.snapshots.transition(snapshot, "backing-up", when=("available",))
    ran = holdfast("cast", "delete_volume", "--volume", volume, "--cascade")

    assert ran.status == 1
    assert f"snapshot {snapshot} is backing-up" in ran.errors[0]
    assert holdfast.records.volumes.get(volume).status == "available"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create_volume", "--size", "1", "--arg", "colour=1"), "has no argument colour"),
        (("create_volume", "--size", "1", "--host", "cli@other#p"), "no service cli@other; known"),
        (("create_volume",), "needs --size"),
        (("create_volume", "--size", "-1"), "needs --size"),
        (("delete_volume",), "needs --volume"),
        (("delete_volume", "--volume", "nothing"), "volume nothing does not exist"),
        (("list_replication_targets", "--arg", "group=x"), "list_replication_targets failed: "),
        (("terminate_connection", "--arg", "volume_id=x"), "terminate_connection lacks connector"),
    ],
)
def test_what_cannot_be_asked_is_told_and_makes_no_row(
    holdfast: Shell, words: tuple[str, ...], told: str
) -> None:
    before = len(holdfast.records.volumes.list())
    ran = holdfast("cast", *words)

    assert ran.status == 1
    assert told in ran.errors[0]
    assert len(holdfast.records.volumes.list()) == before


def test_sizes_are_compared_before_anything_is_sent(holdfast: Shell) -> None:
    volume = create(holdfast, "--size", "2")
    snapshot = snapshot_of(holdfast, volume)
    holdfast("cast", "extend_volume", "--volume", volume, "--size", "3", "--wait")
    small = holdfast("cast", "create_volume", "--snapshot", snapshot, "--size", "1")
    shrunk = holdfast("cast", "extend_volume", "--volume", volume, "--size", "2")
    reverted = holdfast("cast", "revert_to_snapshot", "--snapshot", snapshot)

    assert "its source needs 2 GiB" in small.errors[0]
    assert "more than 3 GiB" in shrunk.errors[0]
    assert "a revert never changes the size" in reverted.errors[0]
    assert holdfast.records.volumes.get(volume).status == "available"


def test_a_call_prints_its_answer_as_json(holdfast: Shell) -> None:
    volume = create(holdfast)
    connector = 'connector={"host": "me"}'
    ran = holdfast("cast", "initialize_connection", "--volume", volume, "--arg", connector)
    levels = holdfast("cast", "get_log_levels", "--arg", 'log_request={"prefix": "worker.j"}')

    assert ran.rows["data"]["device_path"].endswith(f"volume-{volume}")
    assert levels.rows[0]["prefix"].startswith("worker.j")
    assert holdfast("cast", "get_capabilities").rows["storage_protocol"] == "local"


def test_a_cast_that_the_service_puts_aside_is_told(holdfast: Shell) -> None:
    reason = "BadArguments: the id of group is not usable: None"
    ran = holdfast("cast", "enable_replication", "--arg", "group={}", "--wait", "5")
    (rejected,) = holdfast("cast", "list", "--rejected", "-f", "json").rows

    assert ran.errors == [f"the service put it aside: {reason}"]
    assert (rejected["method"], rejected["reason"]) == ("enable_replication", reason)


def test_a_cast_without_a_flow_is_not_waited_for(holdfast: Shell) -> None:
    ran = holdfast("cast", "publish_service_capabilities", "--wait", "5")

    assert (ran.status, ran.out) == (0, "sent\n")


def test_a_volume_of_an_image_and_an_image_of_it(holdfast: Shell, backend: Path) -> None:
    folder = SimpleNamespace(image_directory=str(backend.parent / "state" / "images"))
    images = DirectoryImages(folder)
    image = images.create(None, {"name": "linux"}, iter([b"data"]))
    volume = create(holdfast, "--image", image["id"], "--size", "1")
    os.truncate(backend / f"volume-{volume}", 2**20)  # to upload a GiB takes seconds
    empty = images.create(None, {"name": "copy", "disk_format": "raw"})
    words = ("copy_volume_to_image", "--volume", volume, "--image", empty["id"], "--wait")
    ran = holdfast("cast", *words)
    again = holdfast("cast", "reimage", "--volume", volume, "--image", image["id"], "--wait")

    assert (ran.status, ran.errors) == (again.status, again.errors) == (0, [])
    assert images.show(None, empty["id"])["status"] == "active"
    row = holdfast.records.volumes.get(volume)
    assert (row.status, row.bootable) == ("available", True)
    with (backend / f"volume-{volume}").open("rb") as file:
        assert file.read(8) == b"data" + bytes(4)


def test_a_volume_moves_with_its_data(holdfast: Shell, backend: Path) -> None:
    volume = create(holdfast)
    (backend / f"volume-{volume}").write_bytes(b"data")
    words = ("--volume", volume, "--arg", "host=cli@local#other", "--wait")
    ran = holdfast("cast", "migrate_volume", *words)
    row = holdfast.records.volumes.get(volume)

    assert (ran.status, ran.errors) == (0, [])
    assert (row.host, row.status, row.migration_status) == (
        "cli@local#other",
        "available",
        "success",
    )
    assert part(backend / row.name, 6) == b"data\0\0"


def test_a_volume_that_cannot_move_is_told_and_stays(holdfast: Shell) -> None:
    volume = create(holdfast)
    words = ("--volume", volume, "--arg", "host=h2@nowhere#pool", "--wait")
    ran = holdfast("cast", "migrate_volume", *words)
    row = holdfast.records.volumes.get(volume)

    assert ran.status == 1
    assert "no volume service has that name" in ran.errors[0]
    assert (row.host, row.status, row.migration_status) == (POOL, "available", "error")


def test_an_object_is_taken_over(holdfast: Shell, backend: Path) -> None:
    for name in ("lun-1", "lun-2"):
        (backend / name).write_bytes(name.encode())
    words = ("--ref", "source-name=lun-1", "--name", "found", "--wait")
    ran = holdfast("cast", "manage_existing", *words)
    volume = ran.out.split()[1]
    words = ("--volume", volume, "--ref", "source-name=lun-2", "--wait")
    snapped = holdfast("cast", "manage_existing_snapshot", *words)

    assert (ran.status, ran.errors) == (snapped.status, snapped.errors) == (0, [])
    row = holdfast.records.volumes.get(volume)
    assert (row.display_name, row.size, row.status) == ("found", 1, "available")
    assert part(backend / f"volume-{volume}", 5) == b"lun-1"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("manage_existing",), "needs --ref"),
        (("manage_existing", "--ref", "lun-1"), "needs --ref"),
        (("reimage", "--volume", "VOLUME"), "needs --image"),
        (("migrate_volume", "--volume", "VOLUME"), "needs --arg host="),
        (("migrate_volume", "--volume", "VOLUME", "--arg", "host=h2@b2"), "needs --arg host="),
    ],
)
def test_what_lacks_its_object_changes_nothing(
    holdfast: Shell, words: tuple[str, ...], text: str
) -> None:
    volume = create(holdfast)
    ran = holdfast("cast", *(volume if word == "VOLUME" else word for word in words))

    assert ran.status == 1
    assert text in ran.errors[0]
    assert {row.status for row in holdfast.records.volumes.list()} == {"available"}


def test_a_backend_is_frozen_and_thawed_as_by_the_api(holdfast: Shell) -> None:
    def row() -> tuple[object, ...]:
        (found,) = holdfast.records.services.list(binary="cinder-volume")
        return found.frozen, found.disabled, found.disabled_reason

    host = ("--host", "cli@local")
    frozen = holdfast("cast", "freeze_host", *host)
    assert (frozen.status, row()) == (0, (True, True, "frozen"))
    thawed = holdfast("cast", "thaw_host", *host)
    assert (thawed.status, row()) == (0, (False, False, ""))


def test_what_could_not_be_frozen_is_not_marked(
    holdfast: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BusUnavailable("the bus is away")

    monkeypatch.setattr(VolumeClient, "call", fail)
    ran = holdfast("cast", "freeze_host", "--host", "cli@local")
    (found,) = holdfast.records.services.list(binary="cinder-volume")

    assert (ran.status, found.frozen) == (1, False)
