# SPDX-License-Identifier: Apache-2.0
"""A key manager in memory that knows each key it ever had, and how often it was deleted."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Collection
from typing import Any

from flows.errors import ManagedObjectNotFoundError
from flows.protocols.encryption_keys import Passphrase


class KeyLedger:
    """Implements :class:`flows.protocols.encryption_keys.Keys`."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.owners: dict[str, str] = {}
        self.deletions: Counter[str] = Counter()
        self.fails: dict[str, Exception] = {}
        """The errors of calls, by name."""
        self._ids = map("00000000-0000-4000-8000-{:012}".format, itertools.count(1))

    def add(self, data: bytes, owner: str = "") -> str:
        """Add a key, as the API does, and return its id."""
        key_id = next(self._ids)
        self.keys[key_id], self.owners[key_id] = data, owner
        return key_id

    def create_key(self, request: Any, owner: Any, algorithm: str, length: int) -> str:
        self._fail("create_key")
        made = hashlib.shake_256(f"{algorithm} {len(self.owners)}".encode())
        return self.add(made.digest(length // 8), str(owner.id))

    def passphrase(self, request: Any, key_id: str) -> Passphrase:
        self._fail("passphrase")
        return Passphrase(self._data(key_id))

    def clone(self, request: Any, key_id: str, owner: Any) -> str:
        self._fail("clone")
        return self.add(self._data(key_id), str(owner.id))

    def delete(self, request: Any, key_id: str) -> None:
        self._fail("delete")
        self.deletions[key_id] += self.keys.pop(key_id, None) is not None

    def remove_unnamed(self, request: Any, owner: Any, named: Collection[str]) -> None:
        self._fail("remove_unnamed")
        for key_id, of_row in self.owners.items():
            if of_row == owner.id and key_id not in named:
                self.keys.pop(key_id, None)

    def _data(self, key_id: str) -> bytes:
        if key_id not in self.keys:
            raise ManagedObjectNotFoundError(f"there is no key {key_id}")
        return self.keys[key_id]

    def _fail(self, call: str) -> None:
        if call in self.fails:
            raise self.fails[call]
