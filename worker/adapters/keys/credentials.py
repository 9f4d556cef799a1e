# SPDX-License-Identifier: Apache-2.0
"""Credentials for Barbican: the token of a request, or the account of the service.

A token lives as long as the request is in memory: a journal, a row, a log or an error never has it.
After a restart, the account asks.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from oslo_config import cfg

from drivers import keystone
from drivers.encryption import barbican
from flows.errors import KeyManagerError

_KIND = "key-manager"
_URL = {"public": "publicURL", "internal": "internalURL", "admin": "adminURL"}

NO_ACCOUNT = (
    "no account for the key manager is configured: set [key_manager] auth_type = "
    f"keystone_password, or [{barbican.SERVICE_USER}] auth_type"
)
"""Advice where a token does not suffice."""


@dataclass(frozen=True)
class Credential:
    """One way to ask Barbican.

    :param account: the section of the account; None for the token of a request.
    :param plugin: of keystoneauth.
    :param address: of Barbican; None where the catalogue of the account has it.
    """

    account: str | None
    plugin: Any = field(repr=False)
    address: str | None = None


class Credentials:
    """The credentials of requests.

    :param conf: the configuration.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._lock = threading.Lock()
        self._account: barbican.Account | None = None
        self._service: Any = None

    def of(self, request: Any) -> Iterator[Credential]:
        """Yield the credentials of a request, in the order in which they are tried.

        :raises KeyManagerError: there is none, or a section cannot be used.
        """
        found = False
        if (token := self._token(request)) is not None:
            found = True
            yield token
        if (account := self._account_of_the_service()) is not None:
            found = True
            yield Credential(account.section, account.plugin)
        if not found:
            raise KeyManagerError(
                f"the request has no token for the key manager (any more), and {NO_ACCOUNT}"
            )

    def opened(self, credential: Credential) -> tuple[Any, str]:
        """Return a session of a credential, and the address of Barbican."""
        made = barbican.session(self._conf, credential.plugin, credential.account)
        if credential.address is not None:
            return made, credential.address
        return made, barbican.address(self._conf, made)

    def _token(self, request: Any) -> Credential | None:
        text = getattr(request, "auth_token", None)
        if not text:
            return None
        address = self._conf.barbican.barbican_endpoint or self._in_catalog(request)
        if not address:
            return None
        address = address.rstrip("/").removesuffix("/v1")
        parts = keystone.library()
        plugin = parts.token_endpoint.Token(address, text)
        if self._conf.barbican.send_service_user_token:
            plugin = parts.service_token.ServiceTokenAuthWrapper(plugin, self._service_plugin())
        return Credential(None, plugin, address)

    def _in_catalog(self, request: Any) -> str | None:
        """Return the address in the catalogue of a request, which is a part of a message."""
        options = self._conf.barbican
        key = _URL[options.barbican_endpoint_type]
        region = options.barbican_region_name
        services = keystone.services_in(getattr(request, "service_catalog", None), _KIND)
        for endpoint in itertools.chain.from_iterable(services):
            if region and endpoint.get("region") != region:
                continue
            address = endpoint.get(key)
            if isinstance(address, str) and address.startswith(("http://", "https://")):
                return address
        return None

    def _account_of_the_service(self) -> barbican.Account | None:
        with self._lock:
            if self._account is None:
                try:
                    self._account = barbican.account(self._conf)
                except Exception as error:
                    text = f"the account of the key manager cannot be used: {error}"
                    raise KeyManagerError(text) from error
            return self._account

    def _service_plugin(self) -> Any:
        """Return the account whose token goes with that of a user."""
        section = barbican.SERVICE_USER
        with self._lock:
            if self._service is None:
                if keystone.account(self._conf, (section,)) is None:
                    text = f"send_service_user_token needs an account: set [{section}] auth_type"
                    raise KeyManagerError(text)
                loading = keystone.library().loading
                self._service = loading.load_auth_from_conf_options(self._conf, section)
            return self._service
