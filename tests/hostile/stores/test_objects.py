# SPDX-License-Identifier: Apache-2.0
"""Objects in a store that are larger, or that claim more, than any real ones.

Whoever can write the store can also seal metadata. No reader takes more memory or time than
the row of the backup allows.
"""

from __future__ import annotations

import bz2
import contextlib
import hashlib
import itertools
import json
import random
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from drivers.backup.format import block_hashes, compression, independent_decoders, manifest
from drivers.backup.format.block_hashes import BlockHashes
from drivers.backup.format.bounds import Bounds
from drivers.backup.format.layout import StoredObject
from drivers.backup.format.manifest import Manifest
from drivers.backup.format.manifest_stream import SEAL_BEGIN
from drivers.interface.errors import BackupDamaged, BackupDriverException
from tests.backups import BLOCK, MIB, posix
from tests.hostile import memory
from tests.length import examples

MOST_MEMORY = 128 * MIB
ENDLESS = 6 * 1024 * MIB
"""Bytes that a hostile store sends, if it is let."""

BOUNDS = Bounds(1000, 1 << 30)


class Sent:
    """A stream of a hostile store, which notes how much of it was taken."""

    def __init__(self, *begin: bytes, again: bytes = b"", length: int = ENDLESS) -> None:
        self._begin, self._again, self._length = begin, again, length
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        parts = itertools.chain(self._begin, itertools.repeat(self._again))
        for part in parts:
            if not part or self.taken >= self._length:
                return
            self.taken += len(part)
            yield part


def refused(work: Callable[[], Any], seconds: float = 20.0) -> BackupDriverException:
    """Return the error of a reader, which is raised soon and in little memory.

    :param seconds: of processor time, since other work on the machine does not count.
    """
    begin = time.process_time()
    with memory.traced() as peak:
        with pytest.raises(BackupDriverException) as caught:
            work()
        assert peak() < MOST_MEMORY
    assert time.process_time() - begin < seconds
    return caught.value


LISTS = {
    "no list": (b'{"a": 1, ', b" " * MIB),
    "a text that does not end": (b'{"a": "', b"x" * MIB),
    "a list of spaces": (b'{"objects": [', b" " * MIB),
    "a list of nothing": (b'{"objects": [', b"," * MIB),
    "a list in lists": (b'{"objects": [', b"[" * MIB),
    "a list of numbers": (b'{"objects": [1', b",1" * (MIB // 2)),
    "a long number": (b'{"objects": [', b"9" * MIB),
    "a long text": (b'{"objects": ["', b"x" * MIB),
    "objects that are none": (b'{"objects": [{}', b",{}" * (MIB // 3)),
    "keys without an end": (b'{"objects": [{"a": 1', b', "a": 1' * (MIB // 8)),
    "much behind the list": (b'{"objects": [], "x": "', b"x" * MIB),
    "seals behind the list": (b'{"objects": []', (SEAL_BEGIN + b"0" * 64 + b'",') * 10_000),
}


@pytest.mark.parametrize("kind", LISTS)
def test_metadata_without_an_end_is_refused(kind: str) -> None:
    begin, again = LISTS[kind]
    sent = Sent(begin, again=again)
    refused(lambda: manifest.read(sent, "p", "b", BOUNDS), 60.0)

    assert sent.taken <= manifest.MAX_SIZE + MIB


def test_metadata_in_single_bytes_is_no_slower() -> None:
    text = b"".join(Manifest("b", "v", None, objects(500)).rendered())
    begin = time.process_time()
    found = manifest.read((text[at : at + 1] for at in range(len(text))), "p", "b", BOUNDS)

    assert len(found.objects) == 500
    assert time.process_time() - begin < 5.0


def objects(count: int, length: int = 4) -> list[StoredObject]:
    return [
        StoredObject(f"p-{n + 1:05d}", length * n, length, "zlib", "0" * 32, 10, 11)
        for n in range(count)
    ]


def test_more_objects_than_the_row_has_are_refused() -> None:
    text = Manifest("b", "v", None, objects(100_000)).rendered()
    error = refused(lambda: manifest.read(text, "p", "b", BOUNDS))

    assert "lists more than 1000 objects" in str(error)


@pytest.mark.parametrize("length", [1 << 31, 1 << 62, 10**30])
def test_objects_behind_the_volume_are_refused(length: int) -> None:
    text = Manifest("b", "v", None, objects(1, length)).rendered()
    error = refused(lambda: manifest.read(text, "p", "b", BOUNDS))

    assert "ends behind the volume" in str(error)


HASHES = {
    "no list": (b'{"a": 1, ', b" " * MIB),
    "a key again and again": (b'{"sha256s"', b'"sha256s"' * 10_000),
    "a list of spaces": (b'{"sha256s": [', b" " * MIB),
    "a list of quotes": (b'{"sha256s": [', b'"' * MIB),
    "a list of nothing": (b'{"sha256s": [', b"," * MIB),
    "digits": (b'{"sha256s": ["', b"0" * MIB),
    "hashes": (b'{"sha256s": ["' + b"0" * 64 + b'"', (b',"' + b"1" * 64 + b'"') * 10_000),
    "hashes of zeros": (b'{"sha256s": ["' + b"0" * 64 + b'"', (b',"' + b"0" * 64 + b'"') * 10_000),
    "much behind the list": (b'{"sha256s": [], "x": "', b"x" * MIB),
}


@pytest.mark.parametrize("kind", HASHES)
def test_hashes_without_an_end_are_refused(tmp_path, kind: str) -> None:
    begin, again = HASHES[kind]
    bounds = Bounds(10, 100 * MIB)
    sent = Sent(begin, again=again)
    with BlockHashes.in_temporary_file(tmp_path) as found:
        refused(lambda: block_hashes.parse(sent, found, "it", bounds))

        assert found.count <= bounds.blocks(0)
    assert sent.taken <= block_hashes.max_size(bounds) + 2 * MIB


def test_hashes_in_single_bytes_are_no_slower(tmp_path) -> None:
    text = json.dumps({"chunk_size": 512, "sha256s": ["1" * 64] * 5000}).encode()
    begin = time.process_time()
    with BlockHashes.in_temporary_file(tmp_path) as found:
        parts = (text[at : at + 1] for at in range(len(text)))
        block_hashes.parse(parts, found, "it", BOUNDS)
        assert found.count == 5000

    assert time.process_time() - begin < 5.0


@pytest.mark.parametrize("name", ["sha256s", '"sha256s": [', "objects", '"objects": [', "seal"])
def test_a_backup_may_be_called_like_a_key(tmp_path, rows, volume, target, name: str) -> None:
    driver, row = posix(tmp_path), rows.new(display_name=name, display_description=name)
    rows.back_up(driver, row, volume)
    driver.verify(rows.record(row))
    child = rows.new(row)
    rows.back_up(driver, child, volume)
    rows.restore(driver, child, target)

    assert target.read_bytes() == volume.read_bytes()


def _nothing(kind: str) -> bytes:
    """Return stored bytes that are no data, and that may be repeated for ever."""
    return {
        "zlib": b"\0\0\0\xff\xff",
        "bz2": bz2.compress(b""),
        "zstd": zstandard.compress(b""),
    }[kind]


@pytest.mark.parametrize("decoder", [compression, independent_decoders])
@pytest.mark.parametrize("kind", ["zlib", "bz2", "zstd"])
def test_streams_of_nothing_are_decoded_in_time(decoder: Any, kind: str) -> None:
    """Each of them is a few bytes, behind which the rest of the part was copied."""
    head = b"\x78\x9c" if kind == "zlib" else b""
    part = _nothing(kind) * (MIB // 2 // len(_nothing(kind)))
    begin = time.process_time()
    with contextlib.suppress(compression.Damaged):  # zlib's has no end
        for chunk in decoder.decoded(kind, [head, part]):
            assert not chunk

    assert time.process_time() - begin < 15.0


@pytest.mark.parametrize("decoder", [compression, independent_decoders])
def test_a_frame_that_wants_much_memory_is_refused(decoder: Any) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = packer.compress(bytes(MIB)) + packer.flush()
    with pytest.raises(compression.Damaged):
        list(decoder.decoded("zstd", [frame]))


class Store:
    """Sends another object in place of some of a real store's."""

    def __init__(self, real: Any, name: str, sent: Any) -> None:
        self._real, self._name, self._sent = real, name, sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def reading(self, container: str, name: str) -> Iterator[bytes]:
        if name.endswith(self._name):
            return iter(self._sent)
        return self._real.reading(container, name)


def sealed_again(row: dict[str, Any], change: Callable[[Any], None], root: Any) -> None:
    """Change the metadata of a backup, and seal it as a hostile writer of the store can."""
    path = root / "store" / row["container"] / f"{row['service_metadata']}_metadata"
    document = json.loads(path.read_bytes())
    change(document)
    document["seal"] = "0" * 64
    text = json.dumps(document, sort_keys=True, indent=2).encode()
    seal = hashlib.sha256(text).hexdigest().encode()
    path.write_bytes(text.replace(SEAL_BEGIN + b"0" * 64, SEAL_BEGIN + seal))


def first(document: Any) -> dict[str, Any]:
    return next(iter(document["objects"][0].values()))


@pytest.mark.parametrize("name", ["-00001", "_sha256file", "_metadata"])
@pytest.mark.parametrize("again", [bytes(MIB), b"x" * MIB])
def test_an_endless_object_is_given_up(
    tmp_path, rows, volume, target, name: str, again: bytes
) -> None:
    driver, row = posix(tmp_path), rows.new()
    rows.back_up(driver, row, volume)
    driver._store = Store(driver._store, name, sent := Sent(again=again))
    refused(lambda: driver.verify(rows.record(row)))
    refused(lambda: rows.restore(driver, row, target))

    assert sent.taken < 80 * MIB


@pytest.mark.parametrize("kind", ["none", "zlib", "bz2", "zstd"])
def test_an_object_of_less_data_than_it_claims_is_given_up(
    tmp_path, rows, volume, kind: str
) -> None:
    """Without a seal, as in Cinder's metadata, no size is noted."""
    driver, row = posix(tmp_path, backup_compression_algorithm="none"), rows.new()
    rows.back_up(driver, row, volume)
    path = tmp_path / "store" / row["container"] / f"{row['service_metadata']}_metadata"
    document = json.loads(path.read_bytes())
    for key in ("seal", "sha256file"):
        document.pop(key)
    for entry in document["objects"]:
        for facts in entry.values():
            facts.update(compression=kind)
            for key in ("crc32", "size", "zeros"):
                facts.pop(key, None)
    path.write_bytes(json.dumps(document, sort_keys=True, indent=2).encode())
    head = b"\x78\x9c" if kind == "zlib" else b""
    nothing = b"x" if kind == "none" else _nothing(kind)
    again = nothing * (MIB // len(nothing))
    driver._store = Store(driver._store, "-00001", sent := Sent(head, again=again))
    refused(lambda: driver.verify(rows.record(row)), 60.0)

    assert sent.taken < 16 * MIB


@pytest.mark.parametrize("length", [1 << 29, 1 << 40, 1 << 62])
def test_zeros_that_claim_a_length_are_not_made(tmp_path, rows, target, length: int) -> None:
    """An object of zeros is compared with one of its own making."""
    volume = tmp_path / "zeros"
    volume.write_bytes(bytes(8 * BLOCK))
    driver, row = posix(tmp_path), rows.new()
    rows.back_up(driver, row, volume)
    sealed_again(row, lambda document: first(document).update(length=length), tmp_path)
    refused(lambda: driver.verify(rows.record(row)))
    refused(lambda: rows.restore(driver, row, target))


_ZEROS = bytes(16 * MIB)

BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zlib": ("zlib", lambda: isal_zlib.compress(_ZEROS)),
    "zlib of zlib": ("zlib", lambda: zlib.compress(zlib.compress(_ZEROS))),
    "bz2": ("bz2", lambda: bz2.compress(_ZEROS)),
    "bz2 twice": ("bz2", lambda: bz2.compress(_ZEROS) * 2),
    "zstd": ("zstd", lambda: zstandard.compress(_ZEROS)),
    "zstd frames": ("zstd", lambda: zstandard.compress(_ZEROS) * 16),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_in_an_object_is_stopped(tmp_path, rows, volume, target, bomb: str) -> None:
    kind, make = BOMBS[bomb]
    data = make()
    driver, row = posix(tmp_path), rows.new()
    rows.back_up(driver, row, volume)
    [*(tmp_path / "store").rglob("*-00001")][0].write_bytes(data)
    changed = {"compression": kind, "size": len(data), "crc32": zlib.crc32(data)}

    def change(document: Any) -> None:
        first(document).update(changed)
        first(document).pop("zeros", None)

    sealed_again(row, change, tmp_path)
    refused(lambda: driver.verify(rows.record(row)))
    refused(lambda: rows.restore(driver, row, target))


@settings(max_examples=examples(200), deadline=None)
@given(
    facts=st.dictionaries(
        st.sampled_from(["offset", "length", "size", "crc32", "compression", "md5", "zeros"]),
        st.integers() | st.booleans() | st.none() | st.text(max_size=8) | st.floats(),
        min_size=1,
    ),
    more=st.dictionaries(
        st.sampled_from(["sha256file", "parent_id", "volume_meta", "version", "x", "backup_id"]),
        st.integers() | st.none() | st.text(max_size=8) | st.lists(st.integers(), max_size=2),
    ),
)
def test_random_facts_are_read_or_refused(facts: dict[str, Any], more: dict[str, Any]) -> None:
    document = json.loads(b"".join(Manifest("b", "v", None, objects(3)).rendered()))
    first(document).update(facts)
    document.update({**more, "seal": "0" * 64})
    text = json.dumps(document, sort_keys=True, indent=2).encode()
    seal = hashlib.sha256(text).hexdigest().encode()
    text = text.replace(SEAL_BEGIN + b"0" * 64, SEAL_BEGIN + seal)
    try:
        found = manifest.read([text], "p", "b", BOUNDS)
    except BackupDriverException:
        return

    assert all(0 <= one.offset < one.end <= BOUNDS.end for one in found.objects)


@settings(max_examples=examples(200), deadline=None)
@given(dice=st.randoms(use_true_random=False))
def test_random_text_is_refused(dice: random.Random) -> None:
    text = bytearray(b"".join(Manifest("b", "v", None, objects(20)).rendered()))
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(text))
        text[at : at + dice.randrange(3)] = dice.choice(
            [b"", b"[", b"]", b"{", b"}", b'"', b",", b"\\", b"\0", b"\xff", b"9" * 30]
        )
    if bytes(text) == b"".join(Manifest("b", "v", None, objects(20)).rendered()):
        return
    parts = [bytes(text[at : at + 100]) for at in range(0, len(text), 100)]
    with pytest.raises(BackupDriverException):
        manifest.read(parts, "p", "b", BOUNDS)


def test_a_damaged_one_names_itself(tmp_path, rows, volume) -> None:
    driver, row = posix(tmp_path), rows.new()
    rows.back_up(driver, row, volume)
    driver._store = Store(driver._store, "-00001", Sent(again=bytes(MIB)))
    error = refused(lambda: driver.verify(rows.record(row)))

    assert isinstance(error, BackupDamaged)
    assert f"{row['service_metadata']}-00001 is damaged" in str(error)
