# SPDX-License-Identifier: Apache-2.0
"""Keys of volumes and backups: the credentials of a call, and its repetition.

The token of the request comes first, while this process holds it. A key that the account of the
service makes is the service's; the user of its resource is put on its access list.
"""

from __future__ import annotations

import functools
import importlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

import tenacity
from oslo_config import cfg

from drivers.encryption import barbican
from drivers.interface.records import Record
from flows.errors import KeyManagerError, ManagedObjectNotFoundError, ProcessStopping
from flows.protocols.encryption_keys import Passphrase
from flows.protocols.request import Request
from worker.adapters.keys.credentials import NO_ACCOUNT, Credential, Credentials
from worker.adapters.keys.managers import (
    CredentialExpired,
    CredentialForbidden,
    FixedKey,
    KeyManagerAway,
    Manager,
    MovedFromFixedKey,
)
from worker.conf import key_managers as options

LOG = logging.getLogger(__name__)

_PAUSE_FIRST, _PAUSE_MAX = 0.5, 10.0
"""First and longest pause between two attempts, in seconds."""

_CASTELLAN = "worker.adapters.keys.castellan_manager"
"""Imported when it is needed: its library is optional, and takes memory."""

T = TypeVar("T")


class KeyManager:
    """The configured key manager; it is made when it is first needed.

    :param conf: the configuration.
    :param stopping: ends the pauses between attempts.
    """

    def __init__(self, conf: cfg.ConfigOpts, stopping: threading.Event) -> None:
        self._conf = conf
        self._stopping = stopping
        self._lock = threading.Lock()
        self._made: tuple[Manager, Credentials] | None = None

    def create_key(self, request: Request, owner: Record, algorithm: str, length: int) -> str:
        """Make a key; see :class:`flows.protocols.encryption_keys.Keys`."""
        manager, _ = self._parts()
        name = name_of(owner)
        return self._new(request, owner, lambda one: manager.create(one, name, algorithm, length))

    def passphrase(self, request: Request, key_id: str) -> Passphrase:
        """Return the passphrase of a key."""
        manager, _ = self._parts()
        secret, _ = self._ask(request, lambda one: manager.get(one, key_id), key_id)
        return Passphrase(secret.data)

    def clone(self, request: Request, key_id: str, owner: Record) -> str:
        """Store the bytes of a key as another one."""
        manager, _ = self._parts()
        secret, _ = self._ask(request, lambda one: manager.get(one, key_id), key_id)
        name = name_of(owner)
        return self._new(request, owner, lambda one: manager.store(one, secret, name))

    def delete(self, request: Request, key_id: str) -> None:
        """Delete a key; absence is success."""
        manager, _ = self._parts()
        # As in Cinder, the account deletes keys that the user has no right to.
        refusals = (CredentialExpired, CredentialForbidden)
        try:
            self._ask(request, lambda one: manager.delete(one, key_id), key_id, refusals)
        except ManagedObjectNotFoundError:
            LOG.info("key %s was deleted before", key_id)

    def remove_unnamed(self, request: Request, owner: Record, named: Collection[str]) -> None:
        """Delete keys of an interrupted attempt that no row names."""
        manager, _ = self._parts()
        found, _ = self._ask(request, lambda one: list(manager.named(one, name_of(owner))))
        for key_id in set(found) - set(named):
            LOG.info("key %s of %s is deleted: no row names it", key_id, owner.id)
            self.delete(request, key_id)

    def _new(self, request: Request, owner: Record, make: Callable[[Any], str]) -> str:
        manager, _ = self._parts()
        key_id, credential = self._ask(request, make)
        if credential is None or credential.account is None:
            return key_id
        text = "key %s of %s is the service's own, made with [%s]: only user %s reads it besides"
        LOG.warning(text, key_id, owner.id, credential.account, owner.user_id)
        if owner.user_id:
            users = [owner.user_id]
            try:
                self._repeated(lambda: manager.let_read(credential, key_id, users))
            except BaseException:
                self.delete(request, key_id)
                raise
        return key_id

    def _ask(
        self,
        request: Request,
        call: Callable[[Credential | None], T],
        key_id: str | None = None,
        refusals: tuple[type[KeyManagerError], ...] = (CredentialExpired,),
    ) -> tuple[T, Credential | None]:
        """Return the answer of the first credential that is not refused, and that one."""
        refused: KeyManagerError | None = None
        account: str | None = None
        try:
            for credential in self._credentials(request, key_id):
                account = credential.account if credential else None
                try:
                    return self._repeated(functools.partial(call, credential)), credential
                except refusals as error:
                    refused = refused or error
            advice = "" if account else f"; {NO_ACCOUNT}"
            raise KeyManagerError(f"{refused}{advice}") from refused
        except (KeyManagerAway, CredentialExpired, CredentialForbidden) as error:
            raise KeyManagerError(str(error)) from error

    def _credentials(self, request: Request, key_id: str | None) -> Iterator[Credential | None]:
        manager, credentials = self._parts()
        if manager.needs_credential(key_id):
            yield from credentials.of(request)
        else:
            yield None

    def _repeated(self, call: Callable[[], T]) -> T:
        """Repeat a call while the key manager is away.

        :raises ProcessStopping: the process stops.
        """
        began, seconds = time.monotonic(), float(self._conf[options.GROUP].retry_seconds)

        def sleep(pause: float) -> None:
            if self._stopping.wait(pause):
                raise ProcessStopping("the key manager is away")

        def log(state: tenacity.RetryCallState) -> None:
            if state.attempt_number == 1 and state.outcome is not None:
                text = "the key manager is asked again for %.0f s: %s"
                LOG.warning(text, seconds, state.outcome.exception())

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(KeyManagerAway),
            wait=tenacity.wait_exponential(multiplier=_PAUSE_FIRST, max=_PAUSE_MAX),
            stop=lambda state: time.monotonic() - began + state.upcoming_sleep > seconds,
            sleep=sleep,
            before_sleep=log,
            reraise=True,
        )
        return retrying(call)

    def _parts(self) -> tuple[Manager, Credentials]:
        with self._lock:
            if self._made is None:
                credentials = Credentials(self._conf)
                self._made = _manager(self._conf, credentials), credentials
            return self._made


def name_of(owner: Record) -> str:
    """Return the name of the keys of a row, by which an operator finds one that no row names."""
    return f"holdfast {owner.id}"


def _manager(conf: cfg.ConfigOpts, credentials: Credentials) -> Manager:
    """Make the configured manager. :raises KeyManagerError: there is no such manager."""
    barbican.register_opts(conf)
    own = conf[options.GROUP]
    kind, fixed = options.kind(conf), FixedKey(own.fixed_key)
    if kind is None:
        known = ", ".join(sorted(options.KINDS))
        raise KeyManagerError(f"[key_manager] backend = {own.backend} is not one of {known}")
    if kind == options.FIXED_KIND:
        LOG.warning("[key_manager] fixed_key: all volumes have one key, which is not secure")
        return fixed
    if options.lacks_library(conf):
        raise KeyManagerError(options.NO_LIBRARY)
    library = importlib.import_module(_CASTELLAN)
    manager: Manager = library.made(kind, _values(conf), credentials.opened)
    return MovedFromFixedKey(manager, fixed) if own.fixed_key else manager


def _values(conf: cfg.ConfigOpts) -> dict[str, dict[str, Any]]:
    """Return the values of castellan's options, by section."""
    sections = {barbican.SECTION: barbican.OPTS, options.VAULT: options.VAULT_OPTS}
    return {
        section: {one.dest: conf[section][one.dest] for one in opts}
        for section, opts in sections.items()
    }
