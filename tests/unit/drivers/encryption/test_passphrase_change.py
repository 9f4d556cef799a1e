# SPDX-License-Identifier: Apache-2.0
"""Other passphrases for encrypted volumes, with real headers of LUKS, killed at each write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from oslo_utils import units

from drivers.encryption import encrypted_volume, luks_header, passphrase_change
from drivers.encryption.luks_format import LuksFormat
from drivers.encryption.luks_header import MAGIC, WrongPassphrase
from drivers.interface.errors import VolumeBackendAPIException
from tests.conformance.places import require_programs

OLD, NEW, THIRD = b"0a" * 32, b"1b" * 32, b"2c" * 32
SIZE = 24 * units.Mi
TEXT = b"the plain text of a user"
FORMATS = [LuksFormat(version, "aes-xts-plain64", 256) for version in (1, 2)]
HEADERS = {1: 4096, 2: 32 * units.Ki}
"""Bytes before the material of the slots, by the version of LUKS."""
BY_FORMAT = pytest.mark.parametrize("wanted", FORMATS, ids=["luks1", "luks2"])


class Power(Exception):
    """The power fails."""


class Volume:
    """A volume without a descriptor, that loses power before one of its writes."""

    name = "volume"

    def __init__(self, data: bytes) -> None:
        self.data, self.at = bytearray(data), 0
        self.offsets: list[int] = []
        self.fails_at: int | None = None

    @property
    def writes(self) -> int:
        """The number of writes."""
        return len(self.offsets)

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset if whence == 0 else len(self.data)
        return self.at

    def read(self, length: int) -> bytes:
        return bytes(self.data[self.at : self.at + length])

    def write(self, data: bytes) -> int:
        if self.writes == self.fails_at:
            raise Power
        self.data[self.at : self.at + len(data)] = data
        self.offsets.append(self.at)
        return len(data)

    def flush(self) -> None: ...


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    require_programs("cryptsetup")
    return tmp_path / "header"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: Any) -> dict[int, bytes]:
    """The bytes of volumes that ``OLD`` opens, by the version of LUKS."""
    require_programs("cryptsetup")
    made: dict[int, bytes] = {}
    for wanted in FORMATS:
        volume: Any = Volume(bytes(SIZE))
        path = tmp_path_factory.mktemp("made") / "header"
        encrypted_volume.new(volume, wanted, OLD, SIZE, path).write(5000, TEXT)
        made[wanted.version] = bytes(volume.data)
    return made


def change(volume: Any, wanted: LuksFormat | None, path: Path, old: bytes = OLD) -> bool:
    return passphrase_change.change(volume, wanted, old, NEW, SIZE, path)


def opened_by(volume: Volume, passphrase: bytes, path: Path) -> bool:
    """Return whether a passphrase opens a volume, whose text then has to be there."""
    file: Any = volume
    try:
        data = encrypted_volume.existing(file, passphrase, SIZE, path)
    except WrongPassphrase:
        return False
    assert data.read(5000, len(TEXT)) == TEXT
    return True


@BY_FORMAT
def test_only_the_new_one_opens_it(
    scratch: Path, encrypted: dict[int, bytes], wanted: LuksFormat
) -> None:
    volume = Volume(encrypted[wanted.version])
    assert change(volume, wanted, scratch)

    assert opened_by(volume, NEW, scratch) and not opened_by(volume, OLD, scratch)
    assert volume.data[wanted.header_length :] == encrypted[wanted.version][wanted.header_length :]
    before, writes = bytes(volume.data), volume.writes
    assert change(volume, wanted, scratch)
    assert (bytes(volume.data), volume.writes) == (before, writes)


@BY_FORMAT
def test_a_power_failure_at_any_write_loses_nothing(
    scratch: Path, encrypted: dict[int, bytes], wanted: LuksFormat
) -> None:
    quiet = Volume(encrypted[wanted.version])
    change(quiet, wanted, scratch)
    # The material of a slot takes many blocks, which are all alike.
    of_headers = [at for at, offset in enumerate(quiet.offsets) if offset < HEADERS[wanted.version]]
    # While the new one is added, and while the former one is removed.
    for number in (0, *of_headers[: len(of_headers) // 2], of_headers[-1], of_headers[-1] + 1):
        volume = Volume(encrypted[wanted.version])
        volume.fails_at = number
        with pytest.raises(Power):
            change(volume, wanted, scratch)
        assert opened_by(volume, OLD, scratch) or opened_by(volume, NEW, scratch), number

        volume.fails_at = None
        assert change(volume, wanted, scratch)
        assert opened_by(volume, NEW, scratch) and not opened_by(volume, OLD, scratch), number
    assert not scratch.exists()


@BY_FORMAT
def test_a_volume_that_was_never_attached_gets_a_header(scratch: Path, wanted: LuksFormat) -> None:
    volume = Volume(bytes(SIZE))
    volume.fails_at = 3
    with pytest.raises(Power):
        change(volume, wanted, scratch)
    assert not volume.data.startswith(MAGIC)
    volume.fails_at = None
    assert change(volume, wanted, scratch)

    header = bytes(volume.data[: wanted.header_length])
    assert header[:8] == MAGIC + bytes([0, wanted.version])
    assert luks_header.opens(header, NEW, SIZE, scratch)
    assert not luks_header.opens(header, OLD, SIZE, scratch)


def test_a_format_that_cannot_be_written_leaves_such_a_volume_empty(scratch: Path) -> None:
    volume = Volume(bytes(SIZE))

    assert change(volume, None, scratch) and volume.writes == 0


def test_another_format_is_left_as_it_is(scratch: Path) -> None:
    volume = Volume(b"QFI\xfb".ljust(SIZE, b"\0"))

    assert not change(volume, FORMATS[0], scratch) and volume.writes == 0


@BY_FORMAT
def test_a_passphrase_that_does_not_open_it_changes_nothing(
    scratch: Path, encrypted: dict[int, bytes], wanted: LuksFormat
) -> None:
    volume = Volume(encrypted[wanted.version])
    with pytest.raises(WrongPassphrase):
        change(volume, wanted, scratch, THIRD)

    assert bytes(volume.data) == encrypted[wanted.version]


def test_the_same_passphrase_stays(scratch: Path, encrypted: dict[int, bytes]) -> None:
    volume: Any = Volume(encrypted[1])
    assert passphrase_change.change(volume, FORMATS[0], OLD, OLD, SIZE, scratch)

    assert bytes(volume.data) == encrypted[1]


@pytest.mark.parametrize(
    ("version", "at", "lie"),
    [
        pytest.param(1, 104, b"\xff" * 4, id="data behind the end"),
        pytest.param(1, 104, bytes(4), id="data over the header"),
        pytest.param(1, 208 + 40, b"\xff" * 4, id="material behind the end"),
        pytest.param(2, 8, b"\xff" * 8, id="a copy behind the end"),
        pytest.param(2, 4096, b"[" * 4000, id="noise"),
    ],
)
def test_a_header_that_lies_changes_nothing(
    scratch: Path, encrypted: dict[int, bytes], version: int, at: int, lie: bytes
) -> None:
    """A user may have written it, in an image that is encrypted."""
    data = bytearray(encrypted[version])
    data[at : at + len(lie)] = lie
    if version == 2:  # the second copy would replace the first one
        data[16384:32768] = bytes(16384)
    volume = Volume(bytes(data))
    with pytest.raises(VolumeBackendAPIException):
        change(volume, FORMATS[version - 1], scratch)

    assert bytes(volume.data) == bytes(data) and not scratch.exists()
