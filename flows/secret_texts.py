# SPDX-License-Identifier: Apache-2.0
"""Mask passwords, tokens and keys in values and texts that are kept or shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from oslo_utils import strutils

MASK = "***"

_WORDS = ("password", "passwd", "secret", "token", "credential", "catalog", "private_key")
"""Parts of the names of fields whose values are secrets."""

_KEY_NAMES = frozenset({"auth_key", "access_key", "encryption_key", "keyring"})

_IN_JSON = re.compile(
    r'(\\*"[\w.-]*(?:' + "|".join(_WORDS) + r')[\w.-]*\\*"\s*:\s*\\*")[^"\\]+', re.IGNORECASE
)
"""A field of JSON, also inside a text of JSON, and where its end is cut off."""

_IN_URL = re.compile(r"((?:://|,)[^/@\s:,]*:)[^/@\s,]+(@)")
"""The password of each host of a URL."""


def masked_text(text: str) -> str:
    """Return a text with its secrets masked."""
    shown = _IN_URL.sub(rf"\1{MASK}\2", _IN_JSON.sub(rf"\1{MASK}", text))
    return str(strutils.mask_password(shown, MASK))


def masked_value(value: Any) -> Any:
    """Return a copy of a value of JSON with its secret fields masked, at any depth."""
    if isinstance(value, Mapping):
        return {
            key: MASK if _is_secret(key) and one is not None else masked_value(one)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(map(masked_value, value))
    return value


def _is_secret(key: object) -> bool:
    name = str(key).lower()
    return name in _KEY_NAMES or any(word in name for word in _WORDS)
