# SPDX-License-Identifier: Apache-2.0
"""Headers of LUKS, made and read by cryptsetup in user space.

cryptsetup needs a device mapper to open a volume, and none for its header. It works on a sparse
file of the volume's length, which is removed at the end and never has more than the header in
it: so a volume needs no path, and cryptsetup reads nothing that a user has written. Passphrases
and the key of the data go through pipes (spec/encryption, LUKS without Cinder).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oslo_utils import units

from drivers.bound_programs import binding
from drivers.encryption.luks_format import DERIVATION, LuksFormat
from drivers.interface.errors import VolumeBackendAPIException

PROGRAM = "cryptsetup"
MAGIC = b"LUKS\xba\xbe"
LONGEST = 64 * units.Mi
"""Bytes that a header has at most."""

WRONG_PASSPHRASE = 2
"""The exit status of cryptsetup for it."""

_LONGEST_LINE = 512
"""Bytes of a passphrase that cryptsetup reads from a line."""

_TIMEOUT = 120
"""Seconds for one command, which takes a fraction of one on a free processor."""

_OFFSET = re.compile(r"(?:Payload offset:\s+(\d+)|^\s+offset: (\d+) \[bytes\])", re.MULTILINE)
_SECTOR = re.compile(r"^\s+sector: (\d+) \[bytes\]", re.MULTILINE)
_CIPHER = re.compile(r"(?:Cipher name:\s+(\S+)\nCipher mode:\s+(\S+)|^\s+cipher: (\S+))", re.M)
_KEY = re.compile(r"MK dump:((?:\s+[0-9a-f]{2})+)")


class WrongPassphrase(VolumeBackendAPIException):
    """A header is not opened by a passphrase."""


@dataclass(frozen=True)
class LuksHeader:
    """The begin of an encrypted volume, and how its data is encrypted.

    :param data: its bytes; the data of the volume follows.
    :param cipher: as in the table ``encryption``, such as ``aes-xts-plain64``.
    :param sector: bytes that are encrypted together.
    :param data_key: encrypts the data.
    """

    data: bytes = field(repr=False)
    cipher: str
    sector: int
    data_key: bytes = field(repr=False)

    @property
    def length(self) -> int:
        """Bytes before the data."""
        return len(self.data)


def new(wanted: LuksFormat, passphrase: bytes, size: int, path: Path) -> LuksHeader:
    """Make the header of a volume.

    :param passphrase: without an end of line.
    :param size: of the volume, in bytes.
    :param path: of the sparse file, which is removed.
    :raises VolumeBackendAPIException: cryptsetup cannot do it, or the volume is too short.
    """
    if size <= wanted.header_length:
        text = f"a volume of {size} bytes has no room for a header of LUKS"
        raise VolumeBackendAPIException(text)
    command = ["luksFormat", "--batch-mode", "--force-password", *wanted.options, "--key-file=-"]
    with _sparse_file(b"", size, path):
        _run([*command, str(path)], passphrase)
        return _read(path, passphrase)


def read(begin: bytes, passphrase: bytes, size: int, path: Path) -> LuksHeader:
    """Read the header of a volume.

    :param begin: the first bytes of the volume, up to ``LONGEST``.
    :raises WrongPassphrase: the passphrase does not open it.
    :raises VolumeBackendAPIException: there is no header, or one that cannot be used.
    """
    if not begin.startswith(MAGIC):
        raise VolumeBackendAPIException("the volume has no header of LUKS")
    with _sparse_file(begin, size, path):
        return _read(path, passphrase)


def opens(begin: bytes, passphrase: bytes, size: int, path: Path) -> bool:
    """Return whether a passphrase opens a header; parameters as of :func:`read`."""
    with _sparse_file(begin, size, path):
        try:
            _run(["open", "--test-passphrase", "--key-file=-", str(path)], passphrase)
        except WrongPassphrase:
            return False
        return True


def with_passphrase(begin: bytes, known: bytes, added: bytes, size: int, path: Path) -> bytes:
    """Return the bytes of a header that another passphrase opens too; see :func:`read`.

    :param known: a passphrase that opens it.
    :raises WrongPassphrase: it does not.
    """
    if b"\n" in known + added or max(len(known), len(added)) > _LONGEST_LINE:
        raise VolumeBackendAPIException("the bytes of a key are no passphrase of LUKS")
    command = ["luksAddKey", "--batch-mode", "--force-password", *DERIVATION]
    with _sparse_file(begin, size, path):
        _run([*command, str(path)], known + b"\n" + added + b"\n")
        return _bytes(path)


def without_passphrase(begin: bytes, removed: bytes, size: int, path: Path) -> bytes:
    """Return the bytes of a header that a passphrase does not open any more; see :func:`read`.

    Another one has to open it: the last one would be removed, too.
    """
    with _sparse_file(begin, size, path):
        with contextlib.suppress(WrongPassphrase):
            while True:  # several slots may have it
                _run(["luksRemoveKey", "--batch-mode", "--key-file=-", str(path)], removed)
        return _bytes(path)


def _bytes(path: Path) -> bytes:
    """Return the bytes before the data."""
    shown = _run(["luksDump", str(path)], b"").decode(errors="replace")
    with path.open("rb") as file:
        return file.read(_length(shown))


def _length(shown: str) -> int:
    """Return the bytes before the data, from the text of luksDump."""
    if (offset := _OFFSET.search(shown)) is None:
        raise VolumeBackendAPIException(f"{PROGRAM} does not show the data of a header as expected")
    length = int(offset[1]) * 512 if offset[1] else int(offset[2])
    if not 0 < length <= LONGEST:
        text = f"the header of LUKS has {length} bytes, not 1 to {LONGEST}"
        raise VolumeBackendAPIException(text)
    return length


def _read(path: Path, passphrase: bytes) -> LuksHeader:
    # The text of both versions: JSON is there for the second one only.
    shown = _run(["luksDump", str(path)], b"").decode(errors="replace")
    secret = ["luksDump", "--batch-mode", "--dump-volume-key", "--key-file=-", str(path)]
    key = _KEY.search(_run(secret, passphrase).decode(errors="replace"))
    length, cipher = _length(shown), _CIPHER.search(shown)
    if key is None or cipher is None:
        raise VolumeBackendAPIException(f"{PROGRAM} does not show the data of a header as expected")
    sector = _SECTOR.search(shown)
    with path.open("rb") as file:
        data = file.read(length)
    name = cipher[3] or f"{cipher[1]}-{cipher[2]}"
    return LuksHeader(data, name, int(sector[1]) if sector else 512, bytes.fromhex(key[1]))


@contextlib.contextmanager
def _sparse_file(begin: bytes, size: int, path: Path) -> Iterator[None]:
    try:
        with path.open("wb") as file:
            file.write(begin)
            file.truncate(size)
        yield
    finally:
        path.unlink(missing_ok=True)


def _run(arguments: Sequence[str], passphrase: bytes) -> bytes:
    """Run cryptsetup with a passphrase on its input; return its output."""
    if shutil.which(PROGRAM) is None:
        raise VolumeBackendAPIException(f"{PROGRAM} is not installed (Debian: cryptsetup-bin)")
    try:
        done = subprocess.run(
            [*binding(), PROGRAM, *arguments],
            input=passphrase,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        # The text of a time-out has the command, which has no secret.
        raise VolumeBackendAPIException(
            f"{PROGRAM} {arguments[0]} cannot be run: {error}"
        ) from None
    if done.returncode == WRONG_PASSPHRASE:
        raise WrongPassphrase("the key does not open the header of the volume")
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason"]
        text = f"{PROGRAM} {arguments[0]} ended with {done.returncode}: {reason[-1]}"
        raise VolumeBackendAPIException(text)
    return done.stdout
