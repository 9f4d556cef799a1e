# SPDX-License-Identifier: Apache-2.0
"""Data of LUKS volumes without the kernel: headers of cryptsetup, data that others can read."""

from __future__ import annotations

import contextlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from oslo_utils import units

from drivers import block_copy
from drivers.blockio import BlockFile
from drivers.encryption import encrypted_volume, luks_header
from drivers.encryption.encrypted_file import EncryptedFile
from drivers.encryption.luks_format import LuksFormat
from drivers.encryption.luks_header import LuksHeader, WrongPassphrase
from drivers.image.sink import stream
from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.pace import Pace
from tests.conformance.places import require_programs

PASSPHRASE = b"0123456789abcdef" * 4
PATTERN = b"the plain text of a user, "
SIZE = 32 * units.Mi
LUKS1, LUKS2 = (LuksFormat(version, "aes-xts-plain64", 256) for version in (1, 2))


@contextlib.contextmanager
def volume(directory: Path, content: bytes = b"", size: int = SIZE) -> Iterator[Any]:
    with (directory / "volume").open("w+b", buffering=0) as file:
        file.write(content)
        file.truncate(size)
        yield file


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "header"


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_written_and_read_at_any_offset(tmp_path: Path, sector: int, seed: int) -> None:
    chance = random.Random(seed)
    length = 40 * 4096
    header = LuksHeader(bytes(8192), "aes-xts-plain64", sector, chance.randbytes(64))
    with volume(tmp_path, size=8192 + length + 100) as file:
        data = EncryptedFile(BlockFile(file), header, 8192 + length + 100)
        assert data.size == length
        model = bytearray(data.read(0, length))
        for _ in range(60):
            offset = chance.randrange(length)
            some = chance.randbytes(chance.randrange(1, min(9000, length - offset) + 1))
            data.write(offset, some)
            model[offset : offset + len(some)] = some
            begin = chance.randrange(length)
            wanted = chance.randrange(length)
            assert data.read(begin, wanted) == bytes(model[begin : begin + wanted])
        data.zero(1000, 5000)
        model[1000:6000] = bytes(5000)
        assert data.read(0, length + 1) == bytes(model)
        file.seek(8192)
        stored = file.read()
    assert stored[1024:6144].strip(b"\0") and bytes(model[8192:8256]) not in stored


@pytest.mark.parametrize(("sector", "number"), [(512, 3), (4096, 24)])
def test_sectors_are_numbered_as_by_the_kernel(tmp_path: Path, sector: int, number: int) -> None:
    """In 512 bytes, whatever is encrypted together: GRUB and the kernel read it so."""
    key, plain = random.Random(2).randbytes(64), random.Random(3).randbytes(sector)
    header = LuksHeader(bytes(8192), "aes-xts-plain64", sector, key)
    with volume(tmp_path) as file:
        EncryptedFile(BlockFile(file), header, SIZE).write(3 * sector, plain)
        file.seek(8192 + 3 * sector)
        stored = file.read(sector)
    tweak = number.to_bytes(16, "little")

    assert Cipher(algorithms.AES(key), modes.XTS(tweak)).decryptor().update(stored) == plain


def test_erased_data_is_noise_and_uses_no_space(tmp_path: Path) -> None:
    header = LuksHeader(bytes(8192), "aes-xts-plain64", 512, random.Random(1).randbytes(32))
    with volume(tmp_path, b"old data" * 100_000) as file:
        data = EncryptedFile(BlockFile(file), header, SIZE)
        data.erase(0, 614_400)
        file.seek(8192)
        assert file.read(614_400) == bytes(614_400) and data.read(0, 512) != bytes(512)
        assert data.discard() is False and [*data.data_extents(0, 9)] == [(0, 9)]
        assert data.path(write=True) is None


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("length", [1, 15, 1001, 4096, 5000])
def test_an_image_of_any_length_is_whole_after_old_data_is_erased(
    tmp_path: Path, sector: int, length: int
) -> None:
    image = random.Random(4).randbytes(length)
    header = LuksHeader(bytes(8192), "aes-xts-plain64", sector, random.Random(1).randbytes(32))
    with volume(tmp_path, b"old data" * 100_000, units.Mi) as file:
        data = EncryptedFile(BlockFile(file), header, units.Mi)
        stream(iter([image]), data, data.size, Pace())
        assert data.read(0, length) == image
        data.erase(length, 2 * sector + 1)
        assert data.read(0, length) == image
        file.seek(8192)
        assert b"old data" not in file.read()


def test_only_erased_bytes_are_lost(tmp_path: Path) -> None:
    some = random.Random(5).randbytes(40_960)
    header = LuksHeader(bytes(8192), "aes-xts-plain64", 4096, random.Random(1).randbytes(32))
    with volume(tmp_path) as file:
        data = EncryptedFile(BlockFile(file), header, SIZE)
        for begin, end in ((5, 10), (4090, 4100), (7, 9001), (4096, 12_288)):
            data.write(0, some)
            data.erase(begin, end - begin)
            assert data.read(0, begin) == some[:begin]
            assert data.read(end, len(some) - end) == some[end:]


@pytest.mark.parametrize("sector", [512, 4096])
def test_sectors_that_were_never_written_can_be_left_out(tmp_path: Path, sector: int) -> None:
    header = LuksHeader(bytes(8192), "aes-xts-plain64", sector, random.Random(1).randbytes(32))
    with volume(tmp_path) as file:
        data = EncryptedFile(BlockFile(file), header, SIZE)
        data.write(units.Mi, PATTERN)
        data.write(2 * units.Mi, bytes(units.Mi))
        assert [*data.data_extents(0, data.size)] == [(0, data.size)]
        data.leave_out_unwritten()
        found = [*data.data_extents(0, data.size)]

        assert found == [(units.Mi, units.Mi + 4096), (2 * units.Mi, 3 * units.Mi)]
        assert [*data.data_extents(units.Mi + 1, units.Mi + 9)] == [(units.Mi + 1, units.Mi + 9)]
        assert [*data.data_extents(9, 9)] == []
        assert data.has_no_data(2 * units.Mi, units.Mi) and data.has_no_data(0, units.Mi)
        assert not data.has_no_data(units.Mi, sector)
        assert data.read(0, sector) != bytes(sector)


def test_extents_of_whole_sectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = LuksHeader(bytes(8192), "aes-xts-plain64", 4096, random.Random(1).randbytes(32))
    with volume(tmp_path) as file:
        below = BlockFile(file)
        data = EncryptedFile(below, header, SIZE)
        data.leave_out_unwritten()
        extents = [(512, 1024), (8192 + 512, 8192 + 1024), (8192 + 2048, 8192 + 4608)]
        monkeypatch.setattr(below, "data_extents", lambda _start, _end: iter(extents))
        assert [*data.data_extents(0, data.size)] == [(0, 4096), (4096, 8192)]


@pytest.mark.parametrize(("cipher", "number"), [("plain64", 1 << 32), ("plain", 0)])
def test_sectors_behind_two_tebibytes(cipher: str, number: int) -> None:
    """The number has 32 bits for ``plain``, as in the kernel."""
    key, plain, written = random.Random(2).randbytes(64), bytes(512), []
    behind: Any = SimpleNamespace(name="v", write=lambda _offset, data: written.append(data))
    header = LuksHeader(bytes(8192), f"aes-xts-{cipher}", 512, key)
    EncryptedFile(behind, header, 4 << 40).write(512 << 32, plain)
    tweak = number.to_bytes(16, "little")

    assert Cipher(algorithms.AES(key), modes.XTS(tweak)).decryptor().update(written[0]) == plain


@pytest.mark.parametrize("wanted", [LUKS1, LUKS2], ids=["luks1", "luks2"])
class TestHeaders:
    def test_the_passphrase_opens_it_and_no_other_one(
        self, tmp_path: Path, scratch: Path, wanted: LuksFormat
    ) -> None:
        require_programs("cryptsetup")
        with volume(tmp_path, PATTERN * 1000) as file:
            data = encrypted_volume.new(file, wanted, PASSPHRASE, SIZE, scratch)
            assert data.size == SIZE - wanted.header_length
            data.write(12_345, PATTERN * 1000)
            again = encrypted_volume.existing(file, PASSPHRASE, SIZE, scratch)
            assert again.read(12_345, len(PATTERN)) == PATTERN
            with pytest.raises(WrongPassphrase):
                encrypted_volume.existing(file, PASSPHRASE[::-1], SIZE, scratch)
            file.seek(0)
            assert PATTERN not in file.read()[wanted.header_length :][:40_000]
        assert not scratch.exists()

    def test_a_device_is_longer_than_its_volume(
        self, tmp_path: Path, scratch: Path, wanted: LuksFormat
    ) -> None:
        require_programs("cryptsetup")
        with volume(tmp_path, b"old data" * (SIZE // 8 + 1000), SIZE + 8000) as file:
            encrypted_volume.new(file, wanted, PASSPHRASE, SIZE, scratch)
            file.seek(SIZE)
            assert file.read() == bytes(8000)

    def test_it_is_as_the_type_says(
        self, tmp_path: Path, scratch: Path, wanted: LuksFormat
    ) -> None:
        require_programs("cryptsetup")
        header = luks_header.new(wanted, PASSPHRASE, SIZE, scratch)

        assert header.data[:8] == luks_header.MAGIC + bytes([0, wanted.version])
        assert header.length == wanted.header_length and len(header.data_key) == 32
        assert header.cipher == wanted.cipher and header.sector == {1: 512, 2: 4096}[wanted.version]
        assert header.data_key.hex() not in repr(header) and "key" not in repr(header)

    def test_a_volume_without_room_for_it(
        self, tmp_path: Path, scratch: Path, wanted: LuksFormat
    ) -> None:
        require_programs("cryptsetup")
        with pytest.raises(VolumeBackendAPIException, match="has no room"):
            luks_header.new(wanted, PASSPHRASE, units.Mi, scratch)
        assert not scratch.exists()


def test_data_that_qemu_reads(tmp_path: Path, scratch: Path) -> None:
    require_programs("cryptsetup", "qemu-img")
    with volume(tmp_path) as file:
        data = encrypted_volume.new(file, LUKS1, PASSPHRASE, SIZE, scratch)
        data.write(0, PATTERN * 5000)
        data.zero(len(PATTERN) * 5000, data.size - len(PATTERN) * 5000)
    key = tmp_path / "key"
    key.write_bytes(PASSPHRASE)
    encrypted = f"driver=luks,key-secret=s,file.driver=file,file.filename={tmp_path / 'volume'}"
    secret, plain = f"secret,id=s,file={key}", tmp_path / "plain"
    command = ["qemu-img", "convert", "--object", secret, "--image-opts", encrypted]
    subprocess.run([*command, "-O", "raw", str(plain)], check=True)

    found = plain.read_bytes()
    assert found.startswith(PATTERN * 5000) and not found[len(PATTERN) * 5000 :].strip(b"\0")
    assert len(found) == SIZE - LUKS1.header_length


def test_a_plain_volume_has_no_header(tmp_path: Path, scratch: Path) -> None:
    no_header = pytest.raises(VolumeBackendAPIException, match="no header of LUKS")
    with volume(tmp_path, b"plain") as file, no_header:
        encrypted_volume.existing(file, PASSPHRASE, SIZE, scratch)


def test_data_of_another_cipher_is_not_read_as_noise(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = LuksHeader(luks_header.MAGIC, "aes-cbc-essiv:sha256", 512, bytes(32))
    monkeypatch.setattr(luks_header, "read", lambda *_given: header)
    refused = pytest.raises(VolumeBackendAPIException, match="encrypted with aes-cbc-essiv")
    with volume(tmp_path) as file, refused:
        encrypted_volume.existing(file, PASSPHRASE, SIZE, scratch)


def test_a_missing_program_is_named(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VolumeBackendAPIException, match="cryptsetup is not installed"):
        luks_header.new(LUKS1, PASSPHRASE, SIZE, scratch)


def test_no_secret_is_an_argument(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_programs("cryptsetup")
    run, seen = subprocess.run, []
    watch = lambda command, **how: seen.append((command, how["env"])) or run(command, **how)  # noqa: E731
    monkeypatch.setattr(luks_header.subprocess, "run", watch)
    header = luks_header.new(LUKS2, PASSPHRASE, SIZE, scratch)

    for secret in (PASSPHRASE.decode(), header.data_key.hex()):
        assert secret not in str(seen)
    assert [command[-1] for command, _env in seen] == [str(scratch)] * 3


def test_zeros_are_encrypted_without_a_look_at_the_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = LuksHeader(bytes(8192), "aes-xts-plain64", 4096, random.Random(1).randbytes(32))
    with volume(tmp_path) as file, (tmp_path / "plain").open("w+b", buffering=0) as plain:
        plain.truncate(SIZE)
        data = EncryptedFile(BlockFile(file), header, SIZE)
        with monkeypatch.context() as without:
            without.setattr(data, "read", None)
            block_copy.copy(BlockFile(plain), data, data.size, Pace())
        assert data.read(0, data.size) == bytes(data.size)
