# SPDX-License-Identifier: Apache-2.0
"""Barbican and Vault, asked by castellan, an optional library: imported when it is needed."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from castellan.common.objects import opaque_data, passphrase, symmetric_key

from flows.errors import KeyManagerError, ManagedObjectNotFoundError
from worker.adapters.keys.credentials import Credential
from worker.adapters.keys.managers import (
    SYMMETRIC,
    CredentialExpired,
    CredentialForbidden,
    KeyManagerAway,
    Manager,
    Secret,
)
from worker.compat import castellan


def made(
    kind: str,
    values: Mapping[str, Mapping[str, Any]],
    opened: Callable[[Credential], tuple[Any, str]],
) -> CastellanManager:
    """Return a manager; the arguments are those of :func:`worker.compat.castellan.manager`."""
    inner = castellan.manager(kind, values, opened)
    return CastellanManager(inner, needs_credential=kind == castellan.BARBICAN)


class CastellanManager(Manager):
    """A key manager of castellan.

    :param inner: as :func:`worker.compat.castellan.manager` makes it.
    :param needs_credential: whether it asks in the name of users.
    """

    def __init__(self, inner: Any, *, needs_credential: bool) -> None:
        self._inner = inner
        self._needs_credential = needs_credential

    def needs_credential(self, key_id: str | None) -> bool:
        return self._needs_credential

    def create(self, credential: Credential | None, name: str, algorithm: str, length: int) -> str:
        text = "a key cannot be made"
        if not self._needs_credential:  # castellan gives the name to a wrong field of Vault
            if length <= 0 or length % 8:
                raise KeyManagerError(f"{text}: {length} bits are not whole bytes")
            made = Secret(SYMMETRIC, os.urandom(length // 8), algorithm, length)
            return self.store(credential, made, name)
        order = functools.partial(self._inner.create_key, credential, algorithm, length, name=name)
        return str(self._call(text, order))

    def get(self, credential: Credential | None, key_id: str) -> Secret:
        found: Secret = self._call(
            f"key {key_id} cannot be read", lambda: self._read(credential, key_id)
        )
        return found

    def store(self, credential: Credential | None, secret: Secret, name: str) -> str:
        made = _object_of(secret, name)
        text = "a key cannot be stored"
        key_id = str(self._call(text, lambda: self._inner.store(credential, made)))
        # Castellan does not notice each refusal of Vault.
        if not self._needs_credential and self.get(credential, key_id) != secret:
            raise KeyManagerError(f"{text}: it was not kept")
        return key_id

    def delete(self, credential: Credential | None, key_id: str) -> None:
        text = f"key {key_id} cannot be deleted"
        self._call(text, lambda: self._inner.delete(credential, key_id))

    def named(self, credential: Credential | None, name: str) -> Iterable[str]:
        find = getattr(self._inner, "named", None)
        if find is None:
            return ()
        return list(self._call("keys cannot be listed", lambda: find(credential, name)))

    def let_read(self, credential: Credential | None, key_id: str, users: Collection[str]) -> None:
        change = getattr(self._inner, "let_read", None)
        if change is not None:
            text = f"key {key_id}: its access list cannot be written"
            self._call(text, lambda: change(credential, key_id, users))

    def _read(self, credential: Credential | None, key_id: str) -> Secret:
        found = self._inner.get(credential, key_id)
        data = found.get_encoded()
        if not data:
            raise KeyManagerError("it has no bytes")
        known = (getattr(found, name, None) for name in ("algorithm", "bit_length"))
        return Secret(type(found).__name__, bytes(data), *known)

    @staticmethod
    def _call(what: str, call: Any) -> Any:
        """Make a call, and translate its error. Errors have no bytes of keys."""
        try:
            return call()
        except KeyManagerError:
            raise
        except Exception as error:
            text = str(error).removeprefix("Key manager error: ") or type(error).__name__
            raise _kind(error)(f"{what}: {text:.500}") from error


def _object_of(secret: Secret, name: str) -> Any:
    """Return castellan's object of a key."""
    if secret.kind == SYMMETRIC:
        return symmetric_key.SymmetricKey(secret.algorithm, secret.length, secret.data, name=name)
    kinds = {"Passphrase": passphrase.Passphrase, "OpaqueData": opaque_data.OpaqueData}
    if secret.kind not in kinds:
        raise KeyManagerError(f"a {secret.kind} is no key of a volume")
    return kinds[secret.kind](secret.data, name=name)


def _kind(error: Exception) -> type[KeyManagerError]:
    """Return our class of an error of castellan."""
    if castellan.is_missing(error):
        return ManagedObjectNotFoundError
    if castellan.is_expired(error):
        return CredentialExpired
    if castellan.is_refused(error):
        return CredentialForbidden
    return KeyManagerAway if castellan.is_temporary(error) else KeyManagerError
