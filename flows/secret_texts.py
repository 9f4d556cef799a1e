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

_KEY_NAMES = frozenset({"auth_key", "access_key", "encryption_key", "hmac_key", "keyring"})

_IN_JSON = re.compile(r'"([\w.-]*)(\\*"\s*:\s*\\*")[^"\\]+')
"""A field of JSON, also inside a text of JSON, and where its end is cut off.

The words are searched in the name that was found: a pattern with them in it needs a time that
grows with the square of a name.
"""

_IN_URL = re.compile(r"((?:://|,)[^/@\s:,]*:)[^/\s,]+(@)")
"""The password of each host of a URL, up to its last @: it may have one that is not escaped."""

_ASSIGNED = re.compile(
    r"""(?<![\w.-])([\w.-]{1,64})(\s?=\s?['"]?|['"]\s?:\s?[bu]?['"]|:\s[bu]?['"]|:\s)([^\s'",;&]+)"""
)
"""Names and values that oslo.utils does not know: ``name=value``, a dict, YAML, and a header."""

_ARGUMENT = re.compile(
    r"(--[\w-]{0,64}(?:password|passwd|secret|token)\s+)[^\s-][^\s]*", re.IGNORECASE
)
"""An argument of a command."""

_SHORT_ARGUMENT = re.compile(r"\b(sshpass\s+-p\s?)(?:'[^']*'|\"[^\"]*\"|\S+)")

_COMMUNITY = re.compile(
    r"(?<![a-z])((?:community|communities)(?:\s?[:=]\s?|\s+-c\s+)['\"]?)[^\s'\",;]+", re.IGNORECASE
)
"""The community of SNMP, which is its password."""

_LOGIN = re.compile(r"(?<![\w./@:#-])([A-Za-z][\w.-]{0,63}:)[^\s/@:,]+(@[\w-]+\.[\w.-]+)")
"""The password of ``user:password@host``, where the host is an address or has a domain: without one
it may be the name of a backend."""

_KEYS = (
    *("secret_key", "access_key", "auth_key", "api_key", "private_key", "hmac_key"),
    *("passphrase", "password", "passwd", "secret", "token", "apikey"),
    *("sessionid", "session_id", "signature"),
)
"""Ends of names whose values are secrets."""

_HEADERS = frozenset({"x_auth_token", "x_subject_token", "x_service_token", "x_storage_token"})

_AUTHORIZATION = re.compile(
    r"""(authorization['"]?\s?[:=]\s?[bu]?['"]?(?:basic|bearer)\s)[^\s'",]+""", re.IGNORECASE
)


def masked_text(text: str) -> str:
    """Return a text with its secrets masked."""
    shown = _IN_URL.sub(rf"\1{MASK}\2", _IN_JSON.sub(_masked_field, text))
    for pattern in (_ARGUMENT, _SHORT_ARGUMENT, _COMMUNITY):
        shown = pattern.sub(rf"\1{MASK}", shown)
    shown = _LOGIN.sub(rf"\1{MASK}\2", shown)
    shown = _AUTHORIZATION.sub(rf"\1{MASK}", _ASSIGNED.sub(_masked_assignment, shown))
    return str(strutils.mask_password(shown, MASK))


def _masked_field(found: re.Match[str]) -> str:
    return f'"{found[1]}{found[2]}{MASK}' if _is_secret(found[1]) else found[0]


def _masked_assignment(found: re.Match[str]) -> str:
    name = found[1].lower().replace("-", "_")
    secret = name in _HEADERS or (name.endswith(_KEYS) and not _begins_a_sentence(found))
    return f"{found[1]}{found[2]}{MASK}" if secret else found[0]


def _begins_a_sentence(found: re.Match[str]) -> bool:
    """Return whether words follow the name of an option and a colon, not its value."""
    after = found.string[found.end() : found.end() + 1]
    return found[2].strip() == ":" and (after == " " or found[3].isalpha())


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
