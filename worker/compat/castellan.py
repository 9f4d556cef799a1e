# SPDX-License-Identifier: Apache-2.0
"""Private parts of castellan: the client of Barbican that each call makes, the ids of Vault.

castellan makes a session of its own for each call, without a limit of its answers or of their
time, whose log would have the bodies of requests, and looks for addresses only in the catalogue of
a new token. Here the caller gives the session. Imported where it is needed: an optional library.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any

from barbicanclient import client
from castellan.key_manager import barbican_key_manager, vault_key_manager
from oslo_config import cfg

Opened = tuple[Any, str]
"""A session of keystoneauth, and the address of Barbican."""

BARBICAN, VAULT = "barbican", "vault"

_AWAY = frozenset({408, 412, 500, 502, 503, 504})
"""Statuses of Vault, and of a proxy, that another attempt may not meet."""

_REASONS = frozenset(HTTPStatus(code).phrase for code in _AWAY)

_DEEPEST = 8
"""Errors behind an error that are looked at."""


def manager(
    kind: str, values: Mapping[str, Mapping[str, Any]], opened: Callable[[Any], Opened]
) -> Any:
    """Return a key manager of castellan.

    :param kind: ``barbican`` or ``vault``.
    :param values: of the options, by section; castellan registers them in a configuration of its
        own, as ours has registered the same names.
    :param opened: returns the session for the ``context`` of a call.
    """
    # castellan logs each error that it raises, before anyone knows whether it matters.
    logging.getLogger("castellan").setLevel(logging.CRITICAL)
    logging.getLogger("barbicanclient").setLevel(logging.CRITICAL)
    made = _Vault if kind == VAULT else _barbican_class(opened)
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    made(conf)  # registers the options
    for section, options in values.items():
        if section in conf:
            for name, value in options.items():
                conf.set_override(name, value, group=section)
    return made(conf)


def _barbican_class(opened: Callable[[Any], Opened]) -> Any:
    class Barbican(barbican_key_manager.BarbicanKeyManager):  # type: ignore[misc]
        """Castellan's, with the session that it is given."""

        def _get_barbican_client(self, context: Any) -> Any:
            session, address = opened(context)
            version = self.conf.barbican.barbican_api_version
            return client.Client(version=version, session=session, endpoint=address)

        def named(self, context: Any, name: str) -> list[str]:
            """Return the ids of the secrets of a name that a credential sees."""
            found = self._get_barbican_client(context).secrets.list(name=name)
            return [self._retrieve_secret_uuid(one.secret_ref) for one in found]

        def let_read(self, context: Any, key_id: str, users: Collection[str]) -> None:
            """Have users read a secret, beside the members of its project."""
            _session, address = opened(context)
            reference = f"{address}/v1/secrets/{key_id}"
            acls = self._get_barbican_client(context).acls
            acls.create(entity_ref=reference, users=list(users)).submit()

    return Barbican


class _Vault(vault_key_manager.VaultKeyManager):  # type: ignore[misc]
    """Castellan's, which several threads may ask."""

    def __init__(self, configuration: cfg.ConfigOpts) -> None:
        super().__init__(configuration)
        self._login = threading.Lock()

    def _build_auth_headers(self) -> Any:
        with self._login:
            return super()._build_auth_headers()


def is_missing(error: BaseException) -> bool:
    """Return whether an error means that there is no such key."""
    return _name(error) == "ManagedObjectNotFoundError" or _status(error) == 404


def is_refused(error: BaseException) -> bool:
    """Return whether an error means that the credential has no right, or is not valid."""
    return _name(error) == "Forbidden" or _status(error) in (401, 403)


def is_expired(error: BaseException) -> bool:
    """Return whether an error means that a token is not valid any more."""
    return _status(error) == 401


def is_temporary(error: BaseException) -> bool:
    """Return whether another attempt may succeed: no answer, or an error of the server."""
    if is_missing(error) or is_refused(error):
        return False
    status = _status(error)
    if status is not None:
        return status >= 500 or status in _AWAY
    if any(_is_connection(one) for one in _chain(error)):
        return True
    return _name(error) == "KeyManagerError" and str(error) in _REASONS | {
        f"Key manager error: {reason}" for reason in _REASONS
    }


def _is_connection(error: BaseException) -> bool:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & {"ConnectFailure", "ConnectionError", "Timeout", "RequestException"})


def _status(error: BaseException) -> int | None:
    for one in _chain(error):
        if _name(one) == "HTTPAuthError":  # of Barbican's client, which has no status
            return 401
        for name in ("status_code", "http_status"):
            found = getattr(one, name, None)
            if isinstance(found, int) and found:
                return found
    return None


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and len(found) < _DEEPEST:
        found.append(one)
        one = one.__cause__ or one.__context__
    return found


def _name(error: BaseException) -> str:
    return type(error).__name__
