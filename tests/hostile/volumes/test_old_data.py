# SPDX-License-Identifier: Apache-2.0
"""Each writer of volumes, over devices that are full of old data and longer than the volume.

Nothing of the old data may be readable afterwards. A stand-in device is a file, with and
without support for holes, or an object without a descriptor, as the RBD handles of os-brick.
"""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import block_copy, blockio
from drivers.blockio import BlockFile
from drivers.interface.pace import Pace
from drivers.interface.records import Record
from drivers.interface.volume import ZEROED
from flows.backup.restore import WriteVolume
from flows.errors import ServiceRefused
from flows.volume import create_from_image
from flows.volume.data import image_copy
from tests.backups import MIB, Rows, posix, scribble
from tests.handles import Handle
from tests.length import examples
from tests.unit.flows.volume import test_iscsi as iscsi_cases
from tests.unit.flows.world import iscsi as iscsi_module
from tests.unit.flows.world.iscsi import ROOM, iscsi_world
from tests.unit.flows.world.world import World
from worker.adapters.remote_services import RemoteVolumeServices
from worker.backends.reports.slow_statistics import StatisticsTimer
from worker.backends.volume_backend import VolumeBackend

OLD = b"SECRET!\n"
EXTRA = 3 * 4096 + 512
"""Bytes that a device is longer than its volume, as where a backend rounds up."""

NEW = iscsi_cases.DISK


def old(length: int) -> bytes:
    return (OLD * (length // len(OLD) + 1))[:length]


@pytest.fixture(params=["holes", "no holes"])
def _holes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no holes":
        monkeypatch.setattr(blockio, "punch_hole", lambda *_: False)


@pytest.fixture(params=["device", "handle"])
def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _holes: None
) -> Iterator[Any]:
    """An iSCSI backend whose new volumes, and whose devices, are full of old data."""

    def make(self: Any, target: str, data: bytes = b"") -> None:
        known = data.ljust(ROOM, b"\0") if data and data != iscsi_module.OLD else b""
        self.path(target).write_bytes(known + old(ROOM + EXTRA - len(known)))

    monkeypatch.setattr(iscsi_module.Fabric, "make", make)
    with iscsi_world(tmp_path, by_handle=request.param == "handle") as world:
        yield world


CASES = {
    "create from a raw image": lambda world: iscsi_cases.creation(world, "raw"),
    "create from a qcow2 image": lambda world: iscsi_cases.creation(world, "qcow2"),
    "reimage with a raw image": lambda world: iscsi_cases.reimaging(world, "raw"),
    "reimage with a qcow2 image": lambda world: iscsi_cases.reimaging(world, "qcow2"),
    "reimage from a snapshot": iscsi_cases.reimaging_from_snapshot,
    "revert": iscsi_cases.reverting,
}


@pytest.mark.parametrize("case", CASES)
def test_a_volume_that_an_operation_wrote_has_no_old_data(world: Any, case: str) -> None:
    assert iscsi_cases.run(world, CASES[case](world)).state == "done"

    assert iscsi_cases.data(world) == NEW.ljust(ROOM + EXTRA, b"\0")


@pytest.mark.parametrize("by_handle", [False, True])
def test_a_migrated_volume_has_no_old_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _holes: None, by_handle: bool
) -> None:
    make = iscsi_module.Fabric.make

    def dirty(self: Any, target: str, data: bytes = b"") -> None:
        make(self, target, data or old(ROOM + EXTRA))

    monkeypatch.setattr(iscsi_module.Fabric, "make", dirty)
    with iscsi_world(tmp_path, by_handle=by_handle, theirs=True) as world:
        case = iscsi_cases.migration(world)
        assert iscsi_cases.run(world, case).state == "done"

        moved = world.elsewhere.path(world.volume()).read_bytes()
        assert moved == NEW.ljust(ROOM + EXTRA, b"\0")


class TestCopies:
    @settings(max_examples=examples(100), deadline=None)
    @given(
        size=st.integers(1, 40_000),
        longer=st.integers(0, 20_000),
        dice=st.randoms(use_true_random=False),
        by_handle=st.booleans(),
        punches=st.booleans(),
        again=st.booleans(),
    )
    def test_random_copies(
        self,
        size: int,
        longer: int,
        dice: random.Random,
        by_handle: bool,
        punches: bool,
        again: bool,
    ) -> None:
        data = bytearray(size)
        for _ in range(dice.randrange(4)):
            at = dice.randrange(size)
            data[at : at + 100] = b"x" * len(data[at : at + 100])
        with pytest.MonkeyPatch.context() as patch, _file(old(size + longer)) as file:
            if not punches:
                patch.setattr(blockio, "punch_hole", lambda *_: False)
            target: Any = Handle(old(size + longer)) if by_handle else file
            source = BlockFile(Handle(bytes(data)))
            block_copy.copy(source, BlockFile(target), size, Pace(), skip_equal=again)
            target.seek(0)

            assert target.read() == bytes(data) + bytes(longer)


class TestRestores:
    @pytest.fixture
    def rows(self) -> Rows:
        return Rows()

    @pytest.mark.parametrize("longer", [0, 512, EXTRA, 2 * MIB])
    @pytest.mark.parametrize("by_handle", [False, True])
    def test_a_chain_over_old_data(
        self, tmp_path: Path, rows: Rows, _holes: None, longer: int, by_handle: bool
    ) -> None:
        volume, size = tmp_path / "volume", MIB + 512
        scribble(volume, random.Random(1), size)
        driver, full = posix(tmp_path), rows.new()
        rows.back_up(driver, full, volume)
        with volume.open("r+b") as file:
            file.write(bytes(9000))
        row = rows.new(full)
        rows.back_up(driver, row, volume)
        with _file(old(size + longer)) as file:
            target: Any = Handle(old(size + longer)) if by_handle else file
            driver.restore(rows.record(row), "11111111-1111-1111-1111-111111111111", target)
            target.seek(0)

            assert target.read() == volume.read_bytes() + bytes(longer)

    @pytest.mark.parametrize(
        ("answer", "zeros"),
        [
            ({ZEROED: True}, True),
            ({ZEROED: False}, False),
            ({ZEROED: "yes"}, False),
            ({ZEROED: 1}, False),
            ({}, False),
            (None, False),
            ("x", False),
            (ServiceRefused("no such method"), False),
        ],
        ids=str,
    )
    def test_a_new_volume_counts_as_zeros_only_if_its_driver_says_so(
        self, monkeypatch: pytest.MonkeyPatch, answer: Any, zeros: bool
    ) -> None:
        given: list[Any] = []

        def restore(_backup: Any, _id: str, _file: Any, volume_is_new: bool = False) -> None:
            given.append(volume_is_new)

        def reply(*_: Any, **__: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        remote = object.__new__(RemoteVolumeServices)
        monkeypatch.setattr(remote, "_call", reply)
        monkeypatch.setattr("flows.backup.restore._is_secure", lambda *_: True)
        monkeypatch.setattr(
            "flows.backup.restore.open_on_host.opened", lambda *_, **__: io.BytesIO()
        )
        known = {"id": "b", "service_metadata": "p", "size": None}
        one = Record("backup", {**known, "encryption_key_id": None, "parent_id": None})
        context: Any = SimpleNamespace(
            request=None,
            resumed=False,
            backups=SimpleNamespace(get=lambda _: one),
            volumes=SimpleNamespace(get=lambda _: SimpleNamespace(id="v", size=1)),
            driver_for=lambda _backup: SimpleNamespace(restore=restore),
            volume_service=remote,
            progress=lambda _: None,
            pace=Pace(),
        )
        monkeypatch.setattr("flows.backup.restore.transfer_control.cancellable", lambda *_: Pace())
        for new in (True, False):
            assert WriteVolume().execute(context, "b", "v", new)

        assert given == [zeros, False]


class TestDriversOwnCopies:
    @pytest.mark.parametrize(
        ("stated", "sparse"), [({}, False), ({ZEROED: False}, False), ({ZEROED: True}, True)]
    )
    def test_zeros_of_an_image_are_left_out_only_if_new_volumes_are_zero(
        self, world: World, stated: Any, sparse: bool
    ) -> None:
        given: list[bool] = []

        def copy(
            _context: Any, volume: Any, _service: Any, _id: str, disable_sparse: bool = False
        ) -> None:
            given.append(disable_sparse)

        world.driver.copy_image_to_volume = copy
        world.stats = {**world.stats, **stated}  # type: ignore[attr-defined]
        factory, args = iscsi_cases.creation(world)
        assert factory is create_from_image.flow
        assert world.run(factory, **args).state == "done"

        assert given == [not sparse]
        assert image_copy.ZEROED == ZEROED


@pytest.mark.parametrize(
    ("stats", "extra", "found"),
    [
        ({}, None, None),
        ({ZEROED: True}, None, True),
        ({}, '{"new_volumes_are_zero": true}', True),
        ({ZEROED: True}, '{"new_volumes_are_zero": false}', False),
        ({}, '{"new_volumes_are_zero": "yes"}', False),
        ({ZEROED: "yes"}, "{}", None),
    ],
)
def test_an_operator_can_say_so_for_a_driver(stats: Any, extra: str | None, found: Any) -> None:
    options = {"extra_capabilities": extra}
    row: Any = SimpleNamespace(host="node@b", cluster=None, uuid="u")
    driver: Any = SimpleNamespace(get_volume_stats=lambda refresh: stats)
    limiter: Any = None
    mark: Any = SimpleNamespace()
    backend = VolumeBackend(
        "b",
        row,
        lambda: driver,
        SimpleNamespace(safe_get=options.get),
        lambda *_: None,
        limiter,
        mark,
        StatisticsTimer("b", 60),
    )
    backend._driver = driver

    assert backend.refresh().get(ZEROED) is found


class _file:
    """A file full of data that goes at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> Any:
        fd = os.memfd_create("device")
        self._file = os.fdopen(fd, "r+b", buffering=0)
        self._file.write(self._data)
        return self._file

    def __exit__(self, *_: object) -> None:
        self._file.close()
