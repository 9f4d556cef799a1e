# SPDX-License-Identifier: Apache-2.0
"""What one writes the other restores (spec/backup-rpc §7): full, incremental, any compression."""

from __future__ import annotations

import importlib.util
import itertools
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.backup.posix import PosixDriver
from tests.backups import MIB, Metadata, Rows, posix, scribble
from tests.cinder.process import Peer

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

SIZE = 24 * MIB
_OPTIONS = {"backup_file_size": 32768 * 128, "backup_sha_block_size_bytes": 32768}


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    running = Peer(tmp_path_factory.mktemp("cinder"))
    yield running
    running.stop()


class Side:
    """One of the two: keeps a backup, brings one back."""

    def __init__(self, name: str, root: Path, rows: Rows, peer: Peer, compression: str) -> None:
        self._name = name
        self._rows = rows
        self._peer = peer
        self._options = {**_OPTIONS, "backup_compression_algorithm": compression}
        self._root = root
        self.driver: PosixDriver = posix(root, metadata=Metadata(), **self._options)

    def keep(self, row: dict[str, Any], volume: Path) -> None:
        if self._name == "ours":
            self._rows.keep(self.driver, row, volume)
            return
        told = self._ask("backup", row, volume)
        row.update({name: value for name, value in told.items() if name != "took"})
        row["status"] = "available"

    def bring(self, row: dict[str, Any], volume: Path, *, new: bool) -> None:
        if self._name == "ours":
            self._rows.bring(self.driver, row, volume, new)
            return
        row["status"] = "restoring"
        self._ask("restore", row, volume, new=new)
        row["status"] = "available"

    def _ask(self, do: str, row: dict[str, Any], volume: Path, **more: Any) -> dict[str, Any]:
        options = {**self._options, "backup_posix_path": str(self._root / "store")}
        for known in self._rows.all.values():  # the whole chain has rows there, too
            self._peer.ask(do="row", row=known, options={})
        return self._peer.ask(do=do, row=row, volume=str(volume), options=options, **more)


@pytest.mark.parametrize("compression", ["zlib", "none", "bz2", "zstd"])
@pytest.mark.parametrize(
    ("full_by", "rest_by"), list(itertools.product(("ours", "cinder"), repeat=2))
)
def test_every_chain_is_restored_by_both(
    tmp_path: Path, peer: Peer, compression: str, full_by: str, rest_by: str
) -> None:
    rows, dice = Rows(), random.Random(f"{compression} {full_by} {rest_by}")
    sides = {name: Side(name, tmp_path, rows, peer, compression) for name in ("ours", "cinder")}
    volumes = [tmp_path / f"volume-{number}" for number in range(3)]
    chain: list[dict[str, Any]] = []
    for number, (volume, by) in enumerate(zip(volumes, (full_by, rest_by, full_by), strict=True)):
        if number:
            shutil.copyfile(volumes[number - 1], volume)
        scribble(volume, dice, SIZE)
        chain.append(rows.new(chain[-1] if chain else None))
        sides[by].keep(chain[-1], volume)
    assert chain[0]["object_count"] >= SIZE // _OPTIONS["backup_file_size"] - 1

    for name, side in sides.items():
        for row, volume in zip(chain, volumes, strict=True):
            for new in (True, False):
                target = tmp_path / f"target-{name}"
                target.write_bytes(b"")
                if not new:
                    target.write_bytes(os.urandom(SIZE))
                os.truncate(target, SIZE)
                side.bring(row, target, new=new)
                assert target.read_bytes() == volume.read_bytes(), (name, new)
    for row in chain:
        sides["ours"].driver.verify(rows.record(row))
