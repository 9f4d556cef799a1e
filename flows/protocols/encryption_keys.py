# SPDX-License-Identifier: Apache-2.0
"""The key manager as flows see it: keys of volumes and backups, and passphrases of LUKS.

Only ids are written into rows and into the journal. A key is made before a row refers to it, and
deleted after the last reference is gone.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from typing import Any, NoReturn, Protocol

from drivers.interface.records import Record
from flows.errors import KeyManagerError
from flows.protocols.request import Request


class Passphrase:
    """The passphrase of LUKS for a key: its bytes in lower-case hex, as ASCII (spec/encryption).

    It is handed to programs by a pipe. A text of it is masked, and it is neither pickled nor
    journalled.

    :param key: the bytes of the key.
    """

    __slots__ = ("_hex",)

    def __init__(self, key: bytes) -> None:
        self._hex = key.hex().encode()

    def reveal(self) -> bytes:
        """Return the passphrase, without an end of line."""
        return self._hex

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Passphrase) and hmac.compare_digest(self._hex, other._hex)

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __repr__(self) -> str:
        return "Passphrase(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a passphrase is not stored")


class Keys(Protocol):
    """The keys of volumes and backups, in the key manager of the configuration.

    Each call asks with the token of the request while this process holds it, else with the account
    of the service. A key manager that is away is asked again for a while.

    Each call raises :class:`~flows.errors.KeyManagerError` where it does not succeed; the text says
    why, and names the section to fill where no credential is configured. ProcessStopping means that
    the process stops while it waits for an absent key manager.
    """

    def create_key(self, request: Request, owner: Record, algorithm: str, length: int) -> str:
        """Make a symmetric key and return its id.

        Not idempotent: the id is checkpointed at once. A kill before leaves a key that no row
        names, with the name ``holdfast <id of the owner>``.

        :param owner: the row that is going to refer to it; it has ``id`` and ``user_id``.
        :param algorithm: such as ``aes``.
        :param length: in bits.
        """

    def passphrase(self, request: Request, key_id: str) -> Passphrase:
        """Return the passphrase of a key.

        :raises ManagedObjectNotFoundError: there is no such key.
        """

    def clone(self, request: Request, key_id: str, owner: Record) -> str:
        """Store the bytes of a key as another key and return its id; see :meth:`create_key`.

        :raises ManagedObjectNotFoundError: there is no such key.
        """

    def delete(self, request: Request, key_id: str) -> None:
        """Delete a key. Idempotent: absence is success."""

    def remove_unnamed(self, request: Request, owner: Record, named: Collection[str]) -> None:
        """Delete the keys that an interrupted attempt has made for a row, and that no row names.

        Barbican finds them by their name among those that the credential sees: those that were
        made with a token are another project's than the account's. Vault has no names to look for.

        :param named: ids of keys with the name of this owner that rows or the journal have.
        """


class NoKeys:
    """In place of a key manager, in processes that have none."""

    def __getattr__(self, name: str) -> Any:
        raise KeyManagerError(f"this process has no key manager, and {name} needs one")
