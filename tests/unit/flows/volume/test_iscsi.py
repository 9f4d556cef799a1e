# SPDX-License-Identifier: Apache-2.0
"""Images, copied reverts and migrations with a backend that only os-brick can reach."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows import errors, messages
from flows.volume import create_from_image, reimage, revert, upload
from flows.volume.migration import migrate
from tests.conformance.places import require_programs
from tests.unit.flows.every_cast.cases import CREATE
from tests.unit.flows.world import migrations
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.iscsi import OLD, ROOM, iscsi_world, leftovers
from tests.unit.flows.world.migrations import MIGRATE

DISK = b"boot" * 1000 + bytes(ROOM // 2) + b"data" * 1000
"""Data of an image, shorter than the volume."""

FORMATS = ("raw", "qcow2")


@pytest.fixture(params=["device", "handle"])
def iscsi(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with iscsi_world(tmp_path, by_handle=request.param == "handle") as world:
        yield world


def image(world: Any, disk_format: str | None) -> dict[str, Any]:
    """Store an image; one without a format has no data yet."""
    described = {"name": "linux", "disk_format": disk_format or "raw", "container_format": "bare"}
    disk: Path = world.driver.directory / "disk"
    disk.write_bytes(DISK)
    if disk_format is None:
        return dict(world.images.service.create(None, described))
    if disk_format == "qcow2":
        disk = convert(disk, "raw", "qcow2")
    with disk.open("rb") as file:
        return dict(world.images.service.create(None, described, file))


def convert(path: Path, source: str, target: str) -> Path:
    require_programs("qemu-img")
    made = path.with_suffix(f".{target}")
    subprocess.run(["qemu-img", "convert", "-f", source, "-O", target, path, made], check=True)
    return made


def data(world: Any, volume_id: str = "v1") -> bytes:
    found: bytes = world.fabric.path(f"volume-{volume_id}").read_bytes()
    return found


def existing(world: Any, **columns: Any) -> None:
    """Add a volume full of old data."""
    world.add_volume(**columns)
    world.fabric.make("volume-v1", OLD)


def snapshot(world: Any, **columns: Any) -> None:
    """Add a snapshot with the data of an image."""
    world.add_snapshot(**columns)
    world.fabric.make("snapshot-s1", DISK)


def creation(world: Any, disk_format: str = "raw") -> Any:
    world.add_volume(status="creating", made=False)
    made = image(world, disk_format)
    return create_from_image.flow, {"volume_id": "v1", **CREATE, "image_id": made["id"]}


def upload_of(world: Any, disk_format: str = "raw") -> Any:
    existing(world, status="uploading")
    world.fabric.make("volume-v1", DISK)
    meta = {**image(world, None), "disk_format": disk_format}
    return upload.flow, {"volume_id": "v1", "image_meta": meta}


def reimaging(world: Any, disk_format: str = "raw") -> Any:
    existing(world, status="downloading", previous_status="available")
    args = {"volume_id": "v1", "image_meta": image(world, disk_format), "snapshot_id": None}
    return reimage.flow, args


def reimaging_from_snapshot(world: Any) -> Any:
    existing(world, status="downloading", previous_status="available")
    snapshot(world, status="available")
    meta = image(world, "raw")
    return reimage.flow, {"volume_id": "v1", "image_meta": meta, "snapshot_id": "s1"}


def reverting(world: Any) -> Any:
    existing(world, status="reverting")
    snapshot(world, status="restoring")
    return revert.flow, {"volume_id": "v1", "snapshot_id": "s1"}


def migration(world: Any) -> Any:
    migrations.starting(world)
    if hasattr(world.driver, "fabric"):
        world.fabric.make("volume-v1", DISK)
    else:
        (world.driver.directory / "volume-v1").write_bytes(DISK)
    return migrate.flow, MIGRATE


def run(world: Any, case: Any, **how: Any) -> Any:
    factory, args = case
    return world.run(factory, **args, **how)


def assert_released(world: Any) -> None:
    assert not any(leftovers(world).values()), leftovers(world)


class TestImages:
    @pytest.mark.parametrize("disk_format", FORMATS)
    def test_a_volume_is_created_from_an_image(self, iscsi: Any, disk_format: str) -> None:
        assert run(iscsi, creation(iscsi, disk_format)).state == "done"

        assert data(iscsi) == DISK.ljust(ROOM, b"\0")
        assert iscsi.volume()["status"] == "available"
        assert iscsi.volume()["bootable"] is True
        assert_released(iscsi)

    @pytest.mark.parametrize("disk_format", FORMATS)
    def test_a_volume_is_uploaded(self, iscsi: Any, disk_format: str) -> None:
        factory, args = upload_of(iscsi, disk_format)
        assert iscsi.run(factory, **args).state == "done"

        image_id = args["image_meta"]["id"]
        stored = iscsi.driver.directory / "images" / image_id
        assert iscsi.images.service.show(None, image_id)["status"] == "active"
        assert raw(stored, disk_format) == DISK.ljust(ROOM, b"\0")
        assert iscsi.volume()["status"] == "available"
        assert_released(iscsi)

    @pytest.mark.parametrize("disk_format", FORMATS)
    def test_a_reimaged_volume_has_nothing_of_the_old_data(
        self, iscsi: Any, disk_format: str
    ) -> None:
        assert run(iscsi, reimaging(iscsi, disk_format)).state == "done"

        assert data(iscsi) == DISK.ljust(ROOM, b"\0")
        assert iscsi.volume()["status"] == "available"
        assert_released(iscsi)

    def test_an_attached_volume_is_uploaded_and_stays_exported(self, iscsi: Any) -> None:
        factory, args = upload_of(iscsi)
        iscsi.add_attachment()

        assert iscsi.run(factory, **args).state == "done"
        assert iscsi.volume()["status"] == "in-use"
        assert iscsi.driver.exports == {"volume-v1"}
        assert iscsi.fabric.attached == set()


class TestReverts:
    @pytest.mark.parametrize("case", [reverting, reimaging_from_snapshot])
    def test_the_snapshots_data_comes_through_a_temporary_volume(
        self, iscsi: Any, case: Callable[[Any], Any]
    ) -> None:
        assert run(iscsi, case(iscsi)).state == "done"

        assert data(iscsi) == DISK.ljust(ROOM, b"\0")
        assert iscsi.volume()["status"] == "available"
        assert iscsi.driver.objects == {"volume-v1", "snapshot-s1"}
        assert_released(iscsi)

    def test_a_volume_that_is_too_short_is_not_written(self, iscsi: Any) -> None:
        case = reverting(iscsi)
        os.truncate(iscsi.fabric.path("volume-v1"), ROOM // 2)

        assert "has room for" in str(run(iscsi, case).failure.exception_str)
        assert data(iscsi) == OLD[: ROOM // 2]
        assert iscsi.volume()["status"] == "error"
        assert_released(iscsi)


class TestMigrations:
    @pytest.mark.parametrize("by_handle", [False, True])
    @pytest.mark.parametrize(
        ("ours", "theirs"), [(True, False), (False, True), (True, True)], ids=["out", "in", "both"]
    )
    def test_the_data_moves(
        self, tmp_path: Path, ours: bool, theirs: bool, by_handle: bool
    ) -> None:
        with iscsi_world(tmp_path, by_handle=by_handle, ours=ours, theirs=theirs) as world:
            assert run(world, migration(world)).state == "done"

            moved = world.elsewhere.path(world.volume()).read_bytes()
            assert moved.rstrip(b"\0") == DISK
            assert world.volume()["migration_status"] == "success"
            assert world.volume()["host"] == migrations.THERE
            assert_released(world)


class TestFailures:
    """A target that cannot be attached ends as any other copy that fails."""

    @pytest.fixture
    def unreachable(self, iscsi: Any) -> Any:
        iscsi.fabric.error = OSError("no route to the portal")
        return iscsi

    def test_a_creation_is_not_rescheduled(self, unreachable: Any) -> None:
        factory, args = creation(unreachable)
        args |= {"request_spec": {"volume_id": "v1"}}
        args |= {"filter_properties": {"retry": {"num_attempts": 1, "hosts": ["h"]}}}
        outcome = unreachable.run(factory, **args)

        assert "no route to the portal" in str(outcome.failure.exception_str)
        assert unreachable.volume()["status"] == "error"
        assert unreachable.scheduler.calls == []
        expected = (messages.COPY_IMAGE_TO_VOLUME, messages.UNKNOWN_ERROR)
        assert unreachable.messaged() == [expected]
        assert unreachable.driver.objects == set()
        assert_released(unreachable)

    def test_malformed_connection_info_is_an_error_of_the_driver(
        self, iscsi: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        factory, args = creation(iscsi)
        args |= {"request_spec": {"volume_id": "v1"}}
        args |= {"filter_properties": {"retry": {"num_attempts": 1, "hosts": ["h"]}}}
        monkeypatch.setattr(
            type(iscsi.driver), "initialize_connection", lambda *_a, **_k: "rubbish"
        )
        outcome = iscsi.run(factory, **args)

        assert outcome.failure.check(errors.DriverReturnedRubbish)
        assert len(iscsi.scheduler.calls) == 1
        assert_released(iscsi)

    @pytest.mark.parametrize(
        ("case", "status"),
        [
            (upload_of, "available"),
            (reimaging, "error"),
            (reimaging_from_snapshot, "error"),
            (reverting, "error"),
        ],
    )
    def test_the_status_of_the_operation(
        self, unreachable: Any, case: Callable[[Any], Any], status: str
    ) -> None:
        assert run(unreachable, case(unreachable)).state == "failed"

        assert unreachable.volume()["status"] == status
        assert_released(unreachable)

    def test_a_migration_leaves_the_volume_where_it_is(self, unreachable: Any) -> None:
        outcome = run(unreachable, migration(unreachable))

        assert outcome.failure.check(errors.AttachFailed)
        assert unreachable.volume()["migration_status"] == "error"
        assert unreachable.driver.objects == {"volume-v1"}
        assert_released(unreachable)


@dataclass(frozen=True)
class Kill:
    """An operation that is killed.

    :param status: of the volume after it was reverted before its last step.
    """

    arrange: Callable[..., Any]
    status: str
    theirs: bool = False


KILLS = [
    Kill(lambda world: creation(world, "qcow2"), "error"),
    Kill(upload_of, "available"),
    Kill(reimaging, "error"),
    Kill(reverting, "error"),
    Kill(migration, "available", theirs=True),
]
KILLED = pytest.mark.parametrize(
    "kill", KILLS, ids=["create", "upload", "reimage", "revert", "migrate"]
)


def killed(kill: Kill, directory: Path) -> Iterator[tuple[Any, Any]]:
    """Yield a world for each effect at which the operation was killed, and the operation."""
    for number in itertools.count():
        place = directory / str(number)
        place.mkdir()
        with iscsi_world(place, theirs=kill.theirs) as world:
            case = kill.arrange(world)
            world.strike_at(number, "after")
            try:
                run(world, case)
            except Killed:
                world.revive()
                yield world, case
            else:
                assert number > 5
                return


@KILLED
def test_a_second_try_releases_what_the_first_one_attached(kill: Kill, tmp_path: Path) -> None:
    attached = 0
    for world, case in killed(kill, tmp_path):
        attached += bool(world.fabric.attached)  # type: ignore[attr-defined]

        assert run(world, case, resumed=True).state == "done"
        assert_released(world)
        if kill.theirs:
            assert world.elsewhere.path(world.volume()).read_bytes().rstrip(b"\0") == DISK
        else:
            assert data(world) == DISK.ljust(ROOM, b"\0")
    assert attached


@KILLED
def test_so_does_a_revert(kill: Kill, tmp_path: Path) -> None:
    attached = 0
    for world, case in killed(kill, tmp_path):
        attached += bool(world.fabric.attached)  # type: ignore[attr-defined]
        outcome = run(world, case, resumed=True, revert=True)

        assert_released(world)
        if outcome.state == "failed":
            assert world.volume()["status"] in (kill.status, "available")
    assert attached


def raw(path: Path, disk_format: str) -> bytes:
    return (path if disk_format == "raw" else convert(path, disk_format, "raw")).read_bytes()
