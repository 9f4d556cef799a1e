# SPDX-License-Identifier: Apache-2.0
"""How fast volumes are backed up and restored, beside Cinder's own driver in the same run.

Each measurement is a process of its own, which prints its seconds, processor seconds and
peak memory. The volumes are random, zeros, half sparse and like text; the store is a
directory beside them. ``cp`` and ``zstd -T2`` on the same volume show the limits of the machine
do at all. Cinder runs in the environment of ``tox -e cinder --notest``.

With ``--many N`` it measures the memory of N restores at once, with ``--sparse`` the cost of a
sparse volume of a TiB with 20 GiB of data costs. The last line is one JSON object:
``zlib_mb_s`` and ``none_mb_s`` are of random data, ``ratio`` is of text.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from drivers.backup.posix import PosixDriver  # noqa: E402
from tests.backups import Metadata, Rows  # noqa: E402
from tests.cinder.process import Peer, peak  # noqa: E402

MIB, GIB = 1024**2, 1024**3
KINDS = ("random", "text", "half", "zeros")
PEER = ROOT / ".tox/cinder/bin/python"
ROUNDS = 3
"""Measurements of ours, of which the median counts: they are short. Cinder's take minutes."""

GOALS = {"zlib": 10.0, "none": 4.0, "ratio": 0.97, "peak_rss_mib": 256, "sparse_s": 180.0}


def main() -> None:
    """Measure and print."""
    options = _options()
    if options.one:
        print(json.dumps(_one(json.loads(options.one))))
        return
    peer = None if options.no_peer else _peer(options.peer)
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        folder = Path(name)
        if options.sparse:
            _sparse(folder)
        elif options.many:
            _many(folder, options.many)
        else:
            _compare(folder, options.gib, peer)


def _compare(folder: Path, gib: int, peer: str | None) -> None:
    table: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        volume = folder / kind
        fill(volume, kind, gib)
        for compression in ("zlib", "none"):
            for who in ("ours", *(("cinder",) if peer else ())):
                key = f"{who} {kind} {compression}"
                rounds = ROUNDS if who == "ours" else 1
                took = [
                    _measure(folder, volume, gib, compression, who, peer) for _ in range(rounds)
                ]
                took.sort(key=lambda one: one["backup"]["seconds"])
                table[key] = took[rounds // 2]
                _show(key, table[key], gib)
        if kind == "text":
            _limits(volume, folder, gib)
        volume.unlink()
    found = _figures(table, gib, "ours")
    if peer:
        found |= {f"peer_{name}": value for name, value in _figures(table, gib, "cinder").items()}
        _judge(found)
    print(json.dumps(found))


def _figures(table: dict[str, dict[str, Any]], gib: int, who: str) -> dict[str, Any]:
    def speed(kind: str, compression: str, what: str = "backup") -> float:
        return round(gib * GIB / table[f"{who} {kind} {compression}"][what]["seconds"] / 1e6, 1)

    peaks = [
        one[what]["peak"]
        for key, one in table.items()
        if key.startswith(who)
        for what in ("backup", "restore")
    ]
    return {
        "zlib_mb_s": speed("random", "zlib"),
        "text_zlib_mb_s": speed("text", "zlib"),
        "half_zlib_mb_s": speed("half", "zlib"),
        "none_mb_s": speed("random", "none"),
        "zeros_mb_s": speed("zeros", "zlib"),
        "restore_mb_s": speed("text", "zlib", "restore"),
        "restore_random_mb_s": speed("random", "zlib", "restore"),
        "ratio": round(gib * GIB / table[f"{who} text zlib"]["stored"], 3),
        "cpu_s_per_gib": round(table[f"{who} text zlib"]["backup"]["cpu"] / gib, 2),
        "peak_rss_mib": round(max(peaks) / MIB),
    }


def _judge(found: dict[str, Any]) -> None:
    for name, goal in (("zlib", GOALS["zlib"]), ("none", GOALS["none"])):
        times = found[f"{name}_mb_s"] / found[f"peer_{name}_mb_s"]
        print(f"{name}: {times:.1f} x Cinder's (goal {goal:.0f} x)")
    ratio = found["ratio"] / found["peer_ratio"]
    print(f"ratio: {ratio:.3f} of Cinder's (goal {GOALS['ratio']})")
    print(f"peak memory: {found['peak_rss_mib']} MiB (goal {GOALS['peak_rss_mib']})")


def _warm(folder: Path, gib: int) -> None:
    """Touch as much memory as a store or a volume takes, so that neither side pays for it.

    A virtual machine's memory may be cold: that of a GiB costs seconds of the processor
    when it is touched first, and who comes second has it for nothing.
    """
    scratch, data = folder / "scratch", os.urandom(MIB)
    with open(scratch, "wb") as file:
        for _ in range(gib * GIB // MIB):
            file.write(data)
    scratch.unlink()


def _measure(
    folder: Path, volume: Path, gib: int, compression: str, who: str, peer: str | None
) -> dict[str, Any]:
    """Back a volume up, and restore it to a new one."""
    place, target = folder / "place", folder / "target"
    place.mkdir()
    rows = Rows()
    row = rows.new(size=gib)
    took: dict[str, Any] = {}
    for do in ("backup", "restore"):
        if do == "restore":
            with open(target, "wb") as file:
                file.truncate(gib * GIB)
            took["stored"] = _size(place / "store")
            row["status"] = "restoring" if who == "cinder" else "available"
        path = str(volume if do == "backup" else target)
        asked = {"do": do, "row": row, "volume": path, "new": True}
        _warm(folder, gib)
        if who == "ours":
            answer = _child({**asked, "place": str(place), "compression": compression})
        else:
            assert peer is not None
            answer = _ask_peer(peer, place, asked, compression)
        took[do] = answer.pop("took")
        row.update(answer)
    if _different(volume, target):
        sys.exit(f"{who} {volume.name} {compression}: the restored volume is another one")
    target.unlink()
    shutil.rmtree(place)
    return took


def _child(asked: dict[str, Any]) -> dict[str, Any]:
    argv = [sys.executable, "-m", "bench", "backup", "--one", json.dumps(asked)]
    ran = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def _ask_peer(python: str, place: Path, asked: dict[str, Any], compression: str) -> dict[str, Any]:
    # As it comes: only the place and the compression are said.
    options = {
        "backup_posix_path": str(place / "store"),
        "backup_compression_algorithm": compression,
    }
    peer = Peer(place, python)
    try:
        return peer.ask(**asked, options=options)
    finally:
        peer.stop()


def _one(asked: dict[str, Any]) -> dict[str, Any]:
    """Do one thing in this process."""
    driver = _driver(Path(asked["place"]), asked["compression"])
    rows, row = Rows(), asked["row"]
    rows.all[row["id"]] = row
    began, used = time.perf_counter(), time.process_time()
    if asked["do"] == "backup":
        rows.back_up(driver, row, Path(asked["volume"]))
    elif asked["do"] == "restore":
        rows.restore(driver, row, Path(asked["volume"]), asked["new"])
    else:
        _restore_many(driver, rows, row, asked["targets"])
    took = {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - used,
        "peak": peak(),
    }
    return {**row, "took": took}


def _restore_many(driver: PosixDriver, rows: Rows, row: Any, targets: list[str]) -> None:
    threads = [
        threading.Thread(target=rows.restore, args=(driver, row, Path(target), True))
        for target in targets
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _driver(place: Path, compression: str) -> PosixDriver:
    """Make our driver with its defaults."""
    values = {option.dest: option.default for option in PosixDriver.OPTS}
    values |= {
        "backup_work_path": str(place / "work"),
        "backup_posix_path": str(place / "store"),
        "backup_compression_algorithm": compression,
    }
    driver = PosixDriver(SimpleNamespace(**values), metadata=Metadata())
    driver.check_for_setup_error()
    return driver


def _many(folder: Path, count: int) -> None:
    """Restore one backup to many volumes at once."""
    volume, place = folder / "volume", folder / "place"
    fill(volume, "text", 1)
    row = Rows().new(size=1)
    asked = {"row": row, "place": str(place), "compression": "zlib"}
    row.update(_child({**asked, "do": "backup", "volume": str(volume)}))
    row.pop("took")
    targets = [folder / f"target-{number}" for number in range(count)]
    for target in targets:
        with open(target, "wb") as file:
            file.truncate(GIB)
    took = _child({**asked, "do": "many", "targets": [str(t) for t in targets]})["took"]
    if any(_different(volume, target) for target in targets):
        sys.exit("a restored volume is another one")
    speed = count * GIB / took["seconds"] / 1e6
    print(f"{count} restores at once: {speed:.0f} MB/s in all, peak {took['peak'] / MIB:.0f} MiB")
    print(
        json.dumps(
            {
                "restores": count,
                "peak_rss_mib": round(took["peak"] / MIB),
                "restore_mb_s": round(speed, 1),
            }
        )
    )


def _sparse(folder: Path) -> None:
    """Back up a TiB of which 20 GiB are there."""
    volume, piece = folder / "volume", folder / "piece"
    fill(piece, "text", 1)
    with open(volume, "wb") as file:
        file.truncate(1024 * GIB)
        data = piece.read_bytes()
        for number in range(320):
            file.seek(number * 1024 * GIB // 320)
            file.write(data[(number % 16) * 64 * MIB :][: 64 * MIB])
    row = Rows().new(size=1024)
    asked = {"do": "backup", "row": row, "volume": str(volume)}
    took = _child({**asked, "place": str(folder / "place"), "compression": "zlib"})["took"]
    peak = took["peak"] / MIB
    print(
        f"1 TiB with 20 GiB of data: {took['seconds']:.0f} s, peak {peak:.0f} MiB "
        f"(goals {GOALS['sparse_s']:.0f} s, {GOALS['peak_rss_mib']} MiB)"
    )
    print(json.dumps({"sparse_s": round(took["seconds"], 1), "peak_rss_mib": round(peak)}))


def _limits(volume: Path, folder: Path, gib: int) -> None:
    """Measure cp and zstd on the same volume."""
    programs = {"cp": ["cp", str(volume), str(folder / "copy")]}
    if shutil.which("zstd"):
        programs["zstd -T2"] = ["zstd", "-T2", "-q", "-f", str(volume), "-o", str(folder / "copy")]
    for name, argv in programs.items():
        began = time.perf_counter()
        subprocess.run(argv, check=True)
        speed = gib * GIB / (time.perf_counter() - began) / 1e6
        print(f"{name:32} {speed:8.0f} MB/s   {_size(folder / 'copy') / MIB:8.0f} MiB stored")
        (folder / "copy").unlink()


def fill(path: Path, kind: str, gib: int) -> None:
    """Make a volume."""
    dice = random.Random(kind)
    writers: dict[str, Callable[[Any], None]] = {
        "random": lambda file: _write(file, gib, lambda: os.urandom(16 * MIB)),
        "text": lambda file: _write(file, gib, _text(dice)),
        "half": lambda file: _write(file, gib, lambda: os.urandom(16 * MIB), every=2),
        "zeros": lambda file: None,
    }
    with open(path, "wb") as file:
        file.truncate(gib * GIB)
        writers[kind](file)


def _write(file: Any, gib: int, piece: Callable[[], bytes], every: int = 1) -> None:
    for number in range(0, gib * 64, every):
        file.seek(number * 16 * MIB)
        file.write(piece())


def _text(dice: random.Random) -> Callable[[], bytes]:
    """Return a generator of text: words that repeat as those of a language do."""
    letters = b"abcdefghijklmnopqrstuvwxyz"
    words = [bytes(dice.choices(letters, k=dice.randint(2, 9))) for _ in range(5000)]
    text = b" ".join(dice.choices(words, k=4_000_000))[: 16 * MIB]

    def piece() -> bytes:
        cut = dice.randrange(len(text))
        return text[cut:] + text[:cut]

    return piece


def _show(key: str, took: dict[str, Any], gib: int) -> None:
    told = []
    for what in ("backup", "restore"):
        one = took[what]
        speed = gib * GIB / one["seconds"] / 1e6
        told.append(f"{speed:6.0f} MB/s {one['cpu']:6.1f} s cpu {one['peak'] / MIB:5.0f} MiB")
    print(
        f"{key:22} backup {told[0]}   restore {told[1]}   "
        f"ratio {gib * GIB / max(1, took['stored']):.3f}",
        flush=True,
    )


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


def _different(one: Path, other: Path) -> bool:
    return subprocess.run(["cmp", "-s", str(one), str(other)], check=False).returncode != 0


def _peer(python: str) -> str:
    if not Path(python).exists():
        sys.exit(f"there is no {python}: run tox -e cinder --notest, or give --peer or --no-peer")
    return python


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench backup", description=__doc__)
    add = parser.add_argument
    add("--gib", type=int, default=4, help="size of the volumes (default: 4)")
    add("--directory", help="where volumes and stores are; a tmpfs takes the disk out of it")
    add("--peer", default=str(PEER), help="a python that has Cinder (default: that of tox)")
    add("--no-peer", action="store_true", help="measure ours only")
    add("--many", type=int, metavar="N", help="restore to N volumes at once instead")
    add("--sparse", action="store_true", help="a sparse volume of a TiB instead")
    add("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
