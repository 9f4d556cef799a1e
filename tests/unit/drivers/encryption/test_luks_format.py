# SPDX-License-Identifier: Apache-2.0
"""How a type's row says that its volumes are encrypted (spec/encryption, table encryption)."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.encryption.luks_format import LuksFormat, format_of
from drivers.interface.errors import VolumeDriverException

ROW = {
    "provider": "luks",
    "control_location": "front-end",
    "cipher": "aes-xts-plain64",
    "key_size": 256,
}
LUKS1 = LuksFormat(1, "aes-xts-plain64", 256)


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ({}, LUKS1),
        ({"provider": "LuksEncryptor"}, LUKS1),
        ({"provider": "nova.volume.encryptors.luks.LuksEncryptor"}, LUKS1),
        ({"provider": "os_brick.encryptors.luks.LuksEncryptor"}, LUKS1),
        ({"provider": "luks2", "key_size": 512}, LuksFormat(2, "aes-xts-plain64", 512)),
        ({"control_location": "Front-End"}, LUKS1),
        ({"control_location": "back-end"}, None),
        ({"control_location": None}, None),
        ({"provider": "NoOpEncryptor", "cipher": None, "key_size": None}, None),
        ({"provider": "os_brick.encryptors.nop.NoopEncryptor"}, None),
    ],
)
def test_the_format_of_a_type(columns: dict[str, Any], wanted: LuksFormat | None) -> None:
    assert format_of({**ROW, **columns}, "secret") == wanted


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"provider": "plain"}, "provider 'plain'"),
        ({"provider": "LUKS"}, "provider 'LUKS'"),
        ({"provider": None}, "provider None"),
        ({"cipher": None}, "cipher None"),
        ({"cipher": "aes-cbc-essiv:sha256"}, "cipher 'aes-cbc-essiv:sha256'"),
        ({"key_size": None}, "None bits"),
        ({"key_size": 128}, "128 bits"),
    ],
)
def test_a_type_in_whose_format_nothing_can_be_written(columns: dict[str, Any], named: str) -> None:
    with pytest.raises(VolumeDriverException, match=f"volume type secret has .*{named}"):
        format_of({**ROW, **columns}, "secret")
