# SPDX-License-Identifier: Apache-2.0
"""Each service restores the other's backups (spec/backup-rpc §7), with any compression.

In a directory, and in a store that speaks S3.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import random
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from drivers.backup.chunked import ChunkedDriver
from drivers.backup.posix import PosixDriver
from drivers.backup.s3 import S3Driver
from tests.backups import MIB, Metadata, Rows, scribble, settings
from tests.cinder.process import Peer
from tests.conftest import require
from tests.servers import S3, Servers
from tests.servers.s3 import KEY

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

SIZE = 24 * MIB
MOST, BLOCK = 32768 * 128, 32768

_DRIVERS: dict[str, type[ChunkedDriver]] = {"posix": PosixDriver, "s3": S3Driver}
_COMPRESSIONS = {"posix": ("zlib", "none", "bz2", "zstd"), "s3": ("zlib", "none")}


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    running = Peer(tmp_path_factory.mktemp("cinder"))
    yield running
    running.stop()


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The options of a new place for backups, of the kind that a test is given."""
    kind = request.getfixturevalue("kind")
    if kind == "posix":
        sizes = {"backup_file_size": MOST, "backup_sha_block_size_bytes": BLOCK}
        return {**sizes, "backup_posix_path": str(tmp_path / "store")}
    require(S3)
    servers: Servers = request.getfixturevalue("servers")
    return {
        "backup_s3_endpoint_url": servers.s3.url,
        "backup_s3_store_access_key": KEY,
        "backup_s3_store_secret_key": KEY,
        "backup_s3_store_bucket": f"interchange-{uuid.uuid4()}",
        "backup_s3_object_size": MOST,
        "backup_s3_block_size": BLOCK,
    }


class Side:
    """One of the two: keeps a backup, brings one back.

    :param kind: of the driver, on both sides.
    :param options: of the driver, on both sides.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        root: Path,
        rows: Rows,
        peer: Peer,
        options: Mapping[str, Any],
    ) -> None:
        self._name = name
        self._kind = kind
        self._rows = rows
        self._peer = peer
        self._options = options
        ours = _DRIVERS[kind]
        self.driver = ours(settings(root, ours, **options), metadata=Metadata())
        self.driver.check_for_setup_error()

    def back_up(self, row: dict[str, Any], volume: Path) -> None:
        if self._name == "ours":
            self._rows.back_up(self.driver, row, volume)
            return
        told = self._ask("backup", row, volume)
        row.update({name: value for name, value in told.items() if name != "took"})
        row["status"] = "available"

    def restore(self, row: dict[str, Any], volume: Path, *, new: bool) -> None:
        if self._name == "ours":
            self._rows.restore(self.driver, row, volume, new)
            return
        row["status"] = "restoring"
        self._ask("restore", row, volume, new=new)
        row["status"] = "available"

    def _ask(self, do: str, row: dict[str, Any], volume: Path, **more: Any) -> dict[str, Any]:
        for known in self._rows.all.values():  # the whole chain has rows there, too
            self._peer.ask(do="row", row=known, options={})
        asked = {"driver": self._kind, "row": row, "volume": str(volume), **more}
        return self._peer.ask(do=do, options=self._options, **asked)


@pytest.mark.parametrize(
    ("kind", "compression"), [(kind, one) for kind, them in _COMPRESSIONS.items() for one in them]
)
@pytest.mark.parametrize(
    ("full_by", "rest_by"), list(itertools.product(("ours", "cinder"), repeat=2))
)
def test_every_chain_is_restored_by_both(
    tmp_path: Path,
    peer: Peer,
    place: dict[str, Any],
    kind: str,
    compression: str,
    full_by: str,
    rest_by: str,
) -> None:
    rows, dice = Rows(), random.Random(f"{compression} {full_by} {rest_by}")
    options = {**place, "backup_compression_algorithm": compression}
    names = ("ours", "cinder")
    sides = {name: Side(name, kind, tmp_path, rows, peer, options) for name in names}
    volumes = [tmp_path / f"volume-{number}" for number in range(3)]
    chain: list[dict[str, Any]] = []
    for number, (volume, by) in enumerate(zip(volumes, (full_by, rest_by, full_by), strict=True)):
        if number:
            shutil.copyfile(volumes[number - 1], volume)
        scribble(volume, dice, SIZE)
        chain.append(rows.new(chain[-1] if chain else None))
        sides[by].back_up(chain[-1], volume)
    assert chain[0]["object_count"] >= SIZE // MOST - 1

    for name, side in sides.items():
        for row, volume in zip(chain, volumes, strict=True):
            for new in (True, False):
                target = tmp_path / f"target-{name}"
                target.write_bytes(b"")
                if not new:
                    target.write_bytes(os.urandom(SIZE))
                os.truncate(target, SIZE)
                side.restore(row, target, new=new)
                assert target.read_bytes() == volume.read_bytes(), (name, new)
    for row in chain:
        sides["ours"].driver.verify(rows.record(row))
