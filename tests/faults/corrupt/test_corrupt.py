# SPDX-License-Identifier: Apache-2.0
"""One object of a chain is spoilt: verify, scrub and restore all say so, and say which.

10,000 spoilt objects with ``--full``, of every compression; a few hundred without.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.backup.posix import PosixDriver
from drivers.interface.errors import BackupDriverException
from tests.backups import MIB, Rows, posix, scribble

SIZE = MIB + 1000
COMPRESSIONS = ("zlib", "none", "bz2", "zstd")
FULL, QUICK = 10_000, 400


class Chain:
    """A full backup and two on it, and the same as they might have been before."""

    def __init__(self, root: Path, compression: str, dice: random.Random) -> None:
        self.rows = Rows()
        self.driver: PosixDriver = posix(root, backup_compression_algorithm=compression)
        self.store = root / "store"
        self.volume = root / "volume"
        self.target = root / "target"
        chain = [self.rows.new()]
        chain += [self.rows.new(chain[-1]) for _ in range(1)]
        chain += [self.rows.new(chain[-1])]
        for row in chain:
            row.update(self.driver.place(self.rows.record(row)) or {})
        self.stale = self._make(chain, dice)
        shutil.rmtree(self.store)
        self.good = self._make(chain, dice)
        self.last = chain[-1]
        self.ids = [row["id"] for row in chain]

    def _make(self, chain, dice: random.Random) -> dict[Path, bytes]:
        self.volume.unlink(missing_ok=True)
        for row in chain:
            scribble(self.volume, dice, SIZE)
            self.rows.back_up(self.driver, row, self.volume)
        return {path: path.read_bytes() for path in self.store.rglob("*") if path.is_file()}

    def mend(self, spoilt: dict[Path, bytes | None]) -> None:
        """Put the original back."""
        for path in spoilt:
            path.unlink(missing_ok=True)
            if path in self.good:
                path.write_bytes(self.good[path])


def flipped(chain: Chain, dice: random.Random) -> dict[Path, bytes | None]:
    path, data = chosen(chain, dice)
    at = dice.randrange(len(data))
    return {path: data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]}


def cut(chain: Chain, dice: random.Random) -> dict[Path, bytes | None]:
    path, data = chosen(chain, dice)
    return {path: data[: dice.choice((0, len(data) - 1, dice.randrange(len(data))))]}


def longer(chain: Chain, dice: random.Random) -> dict[Path, bytes | None]:
    path, data = chosen(chain, dice)
    return {path: data + dice.choice((b"\0", b"\n", b" ", dice.randbytes(50)))}


def blanked(chain: Chain, dice: random.Random) -> dict[Path, bytes | None]:
    """A sector that reads as zeros."""
    path, data = chosen(chain, dice)
    at = dice.randrange(len(data)) // 512 * 512
    return {path: data[:at] + bytes(len(data[at : at + 512])) + data[at + 512 :]}


def swapped(chain: Chain, dice: random.Random) -> dict[Path, bytes | None]:
    one, data = chosen(chain, dice)
    other, more = chosen(chain, dice)
    return {one: more, other: data}


def missing(chain: Chain, dice: random.Random) -> dict[Path, bytes | None]:
    return {chosen(chain, dice)[0]: None}


def strange(chain: Chain, dice: random.Random) -> dict[Path, bytes | None]:
    """An object more, with a name of the backup."""
    path, data = chosen(chain, dice)
    return {path.with_name(f"{path.name.rpartition('_')[0]}_{path.parent.name}-09999"): data}


def stale(chain: Chain, dice: random.Random) -> dict[Path, bytes | None]:
    """An object as it was in another backup of the same name."""
    path, _data = chosen(chain, dice)
    return {path: chain.stale.get(path)}


WAYS: tuple[Callable[[Chain, random.Random], dict[Path, bytes | None]], ...] = (
    *(flipped, cut, longer, blanked, swapped, missing, strange, stale),
)


def chosen(chain: Chain, dice: random.Random) -> tuple[Path, bytes]:
    """Choose an object: its metadata and its hashes as often as all the rest."""
    kind = dice.choice(("_metadata", "_sha256file", "-0"))
    return dice.choice([(path, data) for path, data in chain.good.items() if kind in path.name])


def spoil(chain: Chain, dice: random.Random) -> tuple[str, dict[Path, bytes | None]]:
    """Damage a file or a row."""
    while True:
        way = dice.choice(WAYS)
        spoilt = way(chain, dice)
        if any(chain.good.get(path) != data for path, data in spoilt.items()):
            break
    for path, data in spoilt.items():
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
    return way.__name__, spoilt


def found(chain: Chain, work: Callable[[], None]) -> str | None:
    """Return the log lines about it, if there are any."""
    try:
        work()
    except BackupDriverException as error:
        assert any(key in str(error) for key in chain.ids), error
        return str(error)
    return None


def scrubbed(chain: Chain) -> str | None:
    """Return the damage that is found where each backup is read by itself."""
    return found(chain, lambda: _scrub(chain))


def _scrub(chain: Chain) -> None:
    for row in chain.rows.all.values():
        if damage := chain.driver.scrub(chain.rows.record(row)):
            raise BackupDriverException(damage[0].reason)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.timeout(3000)
def test_nothing_that_is_spoilt_is_restored_in_silence(
    tmp_path: Path, compression: str, chance: random.Random, full: bool, record_property
) -> None:
    chain = Chain(tmp_path, compression, chance)
    chain.target.touch()
    os.truncate(chain.target, SIZE)
    counts: Counter[str] = Counter()
    for _ in range((FULL if full else QUICK) // len(COMPRESSIONS)):
        way, spoilt = spoil(chain, chance)
        told = {
            "verify": found(chain, lambda: chain.driver.verify(chain.rows.record(chain.last))),
            "scrub": scrubbed(chain),
            "restore": found(
                chain, lambda: chain.rows.restore(chain.driver, chain.last, chain.target)
            ),
        }
        chain.mend(spoilt)
        assert all(told.values()), (way, [str(path) for path in spoilt], told)
        counts[way] += 1
    chain.driver.verify(chain.rows.record(chain.last))  # only the damaged resource fails
    chain.rows.restore(chain.driver, chain.last, chain.target)
    assert chain.target.read_bytes() == chain.volume.read_bytes()
    record_property("spoilt", dict(counts))
