# SPDX-License-Identifier: Apache-2.0
"""A key manager in memory whose calls fail as planned."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable

from flows.errors import ManagedObjectNotFoundError
from worker.adapters.keys.credentials import Credential
from worker.adapters.keys.managers import Manager, Secret


class ScriptedManager(Manager):
    """Keeps secrets, and notes which credential each call had."""

    def __init__(self) -> None:
        self.secrets: dict[str, Secret] = {}
        self.names: dict[str, str] = {}
        self.readers: dict[str, list[str]] = {}
        self.calls: list[tuple[str, str | None]] = []
        self.fails: list[Exception] = []
        """Errors of the next calls."""
        self._ids = map("key-{}".format, itertools.count(1))

    def needs_credential(self, key_id: str | None) -> bool:
        return True

    def create(self, credential: Credential | None, name: str, algorithm: str, length: int) -> str:
        self._note("create", credential)
        secret = Secret("SymmetricKey", bytes(length // 8), algorithm, length)
        return self._keep(secret, name)

    def get(self, credential: Credential | None, key_id: str) -> Secret:
        self._note("get", credential)
        if key_id not in self.secrets:
            raise ManagedObjectNotFoundError(f"no key {key_id}")
        return self.secrets[key_id]

    def store(self, credential: Credential | None, secret: Secret, name: str) -> str:
        self._note("store", credential)
        return self._keep(secret, name)

    def delete(self, credential: Credential | None, key_id: str) -> None:
        self._note("delete", credential)
        if key_id not in self.secrets:
            raise ManagedObjectNotFoundError(f"no key {key_id}")
        del self.secrets[key_id]

    def named(self, credential: Credential | None, name: str) -> Iterable[str]:
        self._note("named", credential)
        return [key_id for key_id, found in self.names.items() if found == name]

    def let_read(self, credential: Credential | None, key_id: str, users: Collection[str]) -> None:
        self._note("let_read", credential)
        self.readers[key_id] = list(users)

    def _keep(self, secret: Secret, name: str) -> str:
        key_id = next(self._ids)
        self.secrets[key_id], self.names[key_id] = secret, name
        return key_id

    def _note(self, call: str, credential: Credential | None) -> None:
        self.calls.append((call, credential.account if credential else None))
        if self.fails:
            raise self.fails.pop(0)
