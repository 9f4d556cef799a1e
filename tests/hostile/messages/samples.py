# SPDX-License-Identifier: Apache-2.0
"""Bad messages of every kind that the bus can carry."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.functional.cloud import REQUEST

MIB = 1024 * 1024


class Message(NamedTuple):
    """A published message, with the encodings that its header claims."""

    body: bytes
    content_type: str = "application/json"
    content_encoding: str = "utf-8"


def envelope(inner: Any) -> Message:
    """Wrap a body as oslo.messaging does."""
    return Message(json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(inner)}).encode())


def cast(method: Any = "create_volume", args: Any = None, **others: Any) -> Message:
    """Return a cast, with whatever is wrong in it."""
    inner = {
        "method": method,
        "args": {} if args is None else args,
        "version": "3.0",
        "_unique_id": uuid.uuid4().hex,
        **{f"_context_{key}": value for key, value in REQUEST.items()},
        **others,
    }
    return envelope(inner)


def volume(volume_id: Any, **data: Any) -> dict[str, Any]:
    """Return a volume as an argument."""
    return {
        "versioned_object.name": "Volume",
        "versioned_object.namespace": "cinder",
        "versioned_object.version": "1.9",
        "versioned_object.data": {"id": volume_id, **data},
    }


def nested(depth: int) -> str:
    """Return JSON text that is this deep."""
    return "[" * depth + "]" * depth


IDS: tuple[Any, ...] = (
    "'; DROP TABLE volumes; --",
    "../../../../etc/passwd",
    "/etc/passwd",
    "x" * 10_000,
    "",
    "\x00",
    "%s%n{0}",
    "🏴" * 40,
    "\ud800",
    7,
    1.5,
    None,
    True,
    [],
    {},
    ["a"],
    {"id": "x"},
)

RAW = (
    b"",
    b"\x00" * 100,
    b"\xff\xfe\xfd",
    b"null",
    b"[]",
    b"{}",
    b"{",
    b'"text"',
    b"1e999",
    b"NaN",
    nested(1_000).encode(),
    nested(100_000).encode(),
    json.dumps({"oslo.version": "2.0", "oslo.message": nested(1_000)}).encode(),
    json.dumps({"oslo.version": "2.0", "oslo.message": nested(100_000)}).encode(),
    json.dumps({"oslo.version": "2.0", "oslo.message": 7}).encode(),
    json.dumps({"oslo.version": "2.0", "oslo.message": "null"}).encode(),
    json.dumps({"oslo.version": "9.9", "oslo.message": "{}"}).encode(),
    json.dumps({"oslo.version": [], "oslo.message": "{}"}).encode(),
    json.dumps({"oslo.version": "2.0"}).encode(),
)

ENCODINGS = (
    ("application/json", "no-such-encoding"),
    ("application/json", "utf-16"),
    ("application/x-python-serialize", "binary"),
    ("application/data", "binary"),
    ("text/plain", "utf-8"),
    ("no/such-type", "utf-8"),
    ("", ""),
)


def _raw(chance: random.Random) -> Message:
    return Message(chance.choice(RAW))


def _encoding(chance: random.Random) -> Message:
    return cast(args={"volume": volume(str(uuid.uuid4()))})._replace(
        **dict(zip(("content_type", "content_encoding"), chance.choice(ENCODINGS), strict=True))
    )


def _id(chance: random.Random) -> Message:
    method = chance.choice(["create_volume", "delete_volume", "extend_volume"])
    return cast(method, {"volume": volume(chance.choice(IDS)), "new_size": 2})


def _volume_id(chance: random.Random) -> Message:
    return cast("detach_volume", {"volume_id": chance.choice(IDS), "attachment_id": None})


def _method(chance: random.Random) -> Message:
    names = (
        "__init__",
        "_service",
        "no_such",
        "",
        None,
        7,
        [],
        {},
        "create_volume\x00",
        "x" * 5000,
    )
    return cast(chance.choice(names))


def _arguments(chance: random.Random) -> Message:
    return cast(args=chance.choice([7, "x", [1], {"volume": None}, {"volume": 7}, {"": 1}, {}]))


def _version(chance: random.Random) -> Message:
    return cast(version=chance.choice(["", "3", "3.x", "99.0", "-1.0", 3, None, [], {}, "9" * 400]))


def _namespace(chance: random.Random) -> Message:
    return cast(namespace=chance.choice(["other", 7, [], {"a": 1}]))


def _unique_id(chance: random.Random) -> Message:
    return cast("no_such", _unique_id=chance.choice(IDS))


def _context(chance: random.Random) -> Message:
    names = ("user_id", "project_id", "request_id", "roles", "is_admin", "timestamp")
    broken = {f"_context_{name}": chance.choice(IDS) for name in names}
    return cast("no_such", **broken)


def _object(chance: random.Random) -> Message:
    primitive: dict[str, Any] = volume(str(uuid.uuid4()))
    key = chance.choice(list(primitive))
    primitive[key] = chance.choice([None, 7, "", [], {}, "x" * 1000])
    if key == "versioned_object.data":
        return cast(args={"volume": primitive})
    primitive["versioned_object.data"] = None
    return cast(args={"volume": primitive})


def _deep(chance: random.Random) -> Message:
    depth = chance.choice([100, 1_000])
    inner = json.dumps({"method": "no_such", "args": "HERE", "version": "3.0"})
    text = inner.replace('"HERE"', f'{{"x": {nested(depth)}}}')
    return Message(json.dumps({"oslo.version": "2.0", "oslo.message": text}).encode())


KINDS: tuple[Callable[[random.Random], Message], ...] = (
    _raw,
    _encoding,
    _id,
    _volume_id,
    _method,
    _arguments,
    _version,
    _namespace,
    _unique_id,
    _context,
    _object,
    _deep,
)


def bad(chance: random.Random) -> Message:
    """Return a bad message of a random kind."""
    return chance.choice(KINDS)(chance)


def huge(mebibytes: int) -> Message:
    """Return a message of this size that asks for nothing."""
    return cast("no_such_method", {"x": "y" * (mebibytes * MIB)})
