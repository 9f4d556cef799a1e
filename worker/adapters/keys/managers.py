# SPDX-License-Identifier: Apache-2.0
"""Key managers behind one interface: castellan's, and the fixed key of Cinder.

A manager makes one attempt with one credential; :mod:`worker.adapters.keys.key_manager` repeats.
"""

from __future__ import annotations

import abc
import binascii
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from flows.errors import KeyManagerError
from worker.adapters.keys.credentials import Credential

FIXED_KEY_ID = "00000000-0000-0000-0000-000000000000"
"""The id of the fixed key, in every row that has it."""

SYMMETRIC = "SymmetricKey"
"""Castellan's class of the keys of volumes."""


class KeyManagerAway(KeyManagerError):
    """It does not answer, or has an error of its own: another attempt may help."""


class CredentialExpired(KeyManagerError):
    """A token is not valid any more."""


class CredentialForbidden(KeyManagerError):
    """A credential has no right to this key."""


@dataclass(frozen=True)
class Secret:
    """The content of a key.

    :param kind: castellan's class of it.
    :param data: its bytes.
    :param algorithm: of a symmetric key.
    :param length: in bits.
    """

    kind: str
    data: bytes = field(repr=False)
    algorithm: str | None = None
    length: int | None = None


class Manager(abc.ABC):
    """One attempt each, with one credential.

    Each raises KeyManagerError, or one of its subclasses here.
    """

    @abc.abstractmethod
    def needs_credential(self, key_id: str | None) -> bool:
        """Return whether a call needs one: for a key of this id, or a new one."""

    @abc.abstractmethod
    def create(self, credential: Credential | None, name: str, algorithm: str, length: int) -> str:
        """Make a key and return its id."""

    @abc.abstractmethod
    def get(self, credential: Credential | None, key_id: str) -> Secret:
        """Return a key."""

    @abc.abstractmethod
    def store(self, credential: Credential | None, secret: Secret, name: str) -> str:
        """Store a key and return its id."""

    @abc.abstractmethod
    def delete(self, credential: Credential | None, key_id: str) -> None:
        """Delete a key. :raises ManagedObjectNotFoundError: it has none of that id."""

    def named(self, credential: Credential | None, name: str) -> Iterable[str]:
        """Return the ids of the keys of a name, where the manager can look for them."""
        return ()

    def let_read(self, credential: Credential | None, key_id: str, users: Collection[str]) -> None:
        """Have users read a key that is the service's, where the manager has such rights."""
        return


class FixedKey(Manager):
    """One key for all, from the configuration: Cinder's ``ConfKeyManager``.

    :param text: ``fixed_key``, in hex.
    """

    def __init__(self, text: str | None) -> None:
        self._text = text

    def needs_credential(self, key_id: str | None) -> bool:
        return False

    def create(self, credential: Credential | None, name: str, algorithm: str, length: int) -> str:
        return FIXED_KEY_ID

    def get(self, credential: Credential | None, key_id: str) -> Secret:
        _require_fixed(key_id)
        if not self._text:
            raise KeyManagerError("[key_manager] fixed_key is not set")
        try:
            data = binascii.unhexlify(self._text)
        except (binascii.Error, ValueError):
            # Its text would show a part of the key.
            raise KeyManagerError("[key_manager] fixed_key is not hexadecimal") from None
        return Secret(SYMMETRIC, data, "AES", len(data) * 8)

    def store(self, credential: Credential | None, secret: Secret, name: str) -> str:
        if secret.data != self.get(credential, FIXED_KEY_ID).data:
            raise KeyManagerError("another key than [key_manager] fixed_key cannot be stored")
        return FIXED_KEY_ID

    def delete(self, credential: Credential | None, key_id: str) -> None:
        _require_fixed(key_id)


class MovedFromFixedKey(Manager):
    """A key manager beside which the fixed key of old is still read.

    :param manager: has all other keys.
    """

    def __init__(self, manager: Manager, fixed: FixedKey) -> None:
        self._manager, self._fixed = manager, fixed

    def needs_credential(self, key_id: str | None) -> bool:
        return key_id != FIXED_KEY_ID and self._manager.needs_credential(key_id)

    def create(self, credential: Credential | None, name: str, algorithm: str, length: int) -> str:
        return self._manager.create(credential, name, algorithm, length)

    def get(self, credential: Credential | None, key_id: str) -> Secret:
        return self._of(key_id).get(credential, key_id)

    def store(self, credential: Credential | None, secret: Secret, name: str) -> str:
        return self._manager.store(credential, secret, name)

    def delete(self, credential: Credential | None, key_id: str) -> None:
        self._of(key_id).delete(credential, key_id)

    def named(self, credential: Credential | None, name: str) -> Iterable[str]:
        return self._manager.named(credential, name)

    def let_read(self, credential: Credential | None, key_id: str, users: Collection[str]) -> None:
        self._manager.let_read(credential, key_id, users)

    def _of(self, key_id: str) -> Manager:
        return self._fixed if key_id == FIXED_KEY_ID else self._manager


def _require_fixed(key_id: str) -> None:
    if key_id != FIXED_KEY_ID:
        text = "[key_manager] backend has only the fixed key"
        raise KeyManagerError(f"key {key_id} is kept elsewhere: {text}")
