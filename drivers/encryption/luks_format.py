# SPDX-License-Identifier: Apache-2.0
"""How the volumes of a type are encrypted: the row of the table ``encryption``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oslo_utils import units

from drivers.interface.errors import VolumeDriverException

_PROVIDERS = {
    "luks": 1,
    "LuksEncryptor": 1,
    "nova.volume.encryptors.luks.LuksEncryptor": 1,
    "os_brick.encryptors.luks.LuksEncryptor": 1,
    "luks2": 2,
}
"""Providers that put a header of LUKS before the data, and its version."""

_PLAIN = (
    "NoOpEncryptor",
    "nova.volume.encryptors.nop.NoopEncryptor",
    "os_brick.encryptors.nop.NoopEncryptor",
)
"""Providers with which the data is as it is."""

CIPHERS = ("aes-xts-plain64", "aes-xts-plain")
_KEY_BITS = (256, 512)

_HEADERS = {1: 2 * units.Mi, 2: 16 * units.Mi}
DERIVATION = ("--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000")
"""Passphrases are random keys of 256 bits: to stretch them protects nothing, and costs seconds and
memory at each attachment."""

_SECTOR = 4096
"""Bytes that LUKS2 encrypts together; LUKS1 has 512 always."""


@dataclass(frozen=True)
class LuksFormat:
    """A format in which data can be written here.

    :param version: of LUKS, 1 or 2.
    :param cipher: as ``aes-xts-plain64``.
    :param key_size: bits of the key of the data.
    """

    version: int
    cipher: str
    key_size: int

    @property
    def header_length(self) -> int:
        """Bytes before the data, as cryptsetup makes a header."""
        return _HEADERS[self.version]

    @property
    def options(self) -> tuple[str, ...]:
        """The options with which cryptsetup makes a header."""
        sector = () if self.version == 1 else (f"--sector-size={_SECTOR}",)
        cipher = (f"--cipher={self.cipher}", f"--key-size={self.key_size}")
        return (f"--type=luks{self.version}", *cipher, *sector, *DERIVATION)


def is_before_data(row: Mapping[str, Any]) -> bool:
    """Return whether the volumes of a type have a header of LUKS, and a key can be made for them.

    :param row: as of :func:`format_of`.
    """
    is_ours = str(row.get("control_location") or "").lower() == "front-end"
    cipher, key_size = row.get("cipher"), row.get("key_size")
    return bool(is_ours and row.get("provider") in _PROVIDERS and cipher and key_size)


def format_of(row: Mapping[str, Any], type_name: str) -> LuksFormat | None:
    """Return the format of a type's volumes; None where their data is written as it is.

    :param row: ``provider``, ``control_location``, ``cipher`` and ``key_size``, each may be None.
    :param type_name: of the volume type, for errors.
    :raises VolumeDriverException: data cannot be written so here; what the type has.
    """
    provider, cipher, key_size = row.get("provider"), row.get("cipher"), row.get("key_size")
    if str(row.get("control_location") or "").lower() != "front-end" or provider in _PLAIN:
        return None
    version = _PROVIDERS.get(str(provider))
    if version is None:
        text = f"has the encryption provider {provider!r:.100}; luks and luks2 can be written here"
        raise VolumeDriverException(f"volume type {type_name} {text}")
    if cipher not in CIPHERS or key_size not in _KEY_BITS:
        text = f"has the cipher {cipher!r:.100} with {key_size!r:.20} bits; "
        text += "aes-xts-plain64 with 256 or 512 can be written here"
        raise VolumeDriverException(f"volume type {type_name} {text}")
    return LuksFormat(version, str(cipher), int(key_size))
