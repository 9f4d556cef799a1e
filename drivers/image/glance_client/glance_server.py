# SPDX-License-Identifier: Apache-2.0
"""Servers of Glance, and the account with which this service makes itself known to them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from drivers import keystone
from drivers.image.glance_client import api_address
from drivers.image.glance_client.answer import GlanceAnswer
from drivers.interface.errors import ImageCopyFailure

LOG = logging.getLogger(__name__)

ACCOUNTS = ("service_user", "glance", "keystone_authtoken")
"""Sections that may have an account; the first one that has is used."""

LOCATION_ACCOUNTS = ("glance", "service_user", "keystone_authtoken")
"""The same for locations, which Cinder asks for with the account in [glance]."""

NO_ACCOUNT = (
    "there is no account for Glance: give [service_user], [glance] or [keystone_authtoken] an "
    "auth_type, with a user and a password"
)

_REGION = "region_name"
_GLANCE = "glance"


class GlanceServer:
    """One server.

    :param conf: the configuration, with the options of an image service that is in Glance.
    :param address: as in ``glance_api_servers``; None for that of Keystone's catalogue.
    :param accounts: sections that may have the account, the first one that has is used.
    """

    def __init__(self, conf: Any, address: str | None, accounts: Sequence[str] = ACCOUNTS) -> None:
        self._conf = conf
        self._address = address
        self._accounts = accounts
        self._lock = threading.Lock()
        self._session: Any = None

    @property
    def account(self) -> str:
        """The section of the account. :raises ImageCopyFailure: none has one."""
        if (found := keystone.account(self._conf, self._accounts)) is None:
            raise ImageCopyFailure(NO_ACCOUNT)
        return found

    @property
    def name(self) -> str:
        """Its address as configured, for logs."""
        return self._address or "Keystone's address of Glance"

    def request(self, method: str, path: str, label: str, **how: Any) -> GlanceAnswer:
        """Send a request, and return the answer with its body unread.

        :param path: behind the version, as ``/images``.
        :param label: names the image in errors.
        :param how: arguments of keystoneauth and requests.
        :raises ConnectionError: Keystone gives no token.
        """
        session, timeout = self._connected(), self._conf.glance_request_timeout
        try:
            session.get_auth_headers()
        except Exception as error:
            text = f"Keystone gives no token to the account in [{self.account}]"
            raise ConnectionError(f"{text}: {type(error).__name__}: {error}") from error
        server = self._api(session)
        # Keystoneauth's own log would read a body to its end.
        how |= {"stream": True, "raise_exc": False, "log": False}
        response = session.request(f"{server}{path}", method, **how)
        LOG.debug("%s %s%s: %d", method, server, path, response.status_code)
        return GlanceAnswer(response, label, server, timeout)

    def _api(self, session: Any) -> str:
        """Return the address of the API. :raises ImageCopyFailure: the catalogue has none."""
        if self._address is not None:
            return api_address.of(self._address)
        if self._conf.auth_strategy != "keystone":
            raise ImageCopyFailure(
                "without an account (auth_strategy) glance_api_servers is needed"
            )
        try:
            found = keystone.address(session, **_place(self._conf))
        except LookupError as error:
            advice = "see glance_catalog_info and [glance] region_name, or set glance_api_servers"
            raise ImageCopyFailure(
                f"the address of Glance is not known: {error}; {advice}"
            ) from error
        return api_address.of(found)

    def _connected(self) -> Any:
        with self._lock:
            if self._session is None:
                with_account = self._conf.auth_strategy == "keystone"
                self._session = _session(self._conf, self.account if with_account else None)
            return self._session


def _session(conf: Any, account: str | None) -> Any:
    if account is not None:
        try:
            return keystone.session(conf, account, **_tls(conf))
        except Exception as error:
            text = f"[{account}] is no account of Keystone: {type(error).__name__}: {error}"
            raise ImageCopyFailure(text) from error
    verify = not conf.glance_api_insecure and (conf.glance_ca_certificates_file or True)
    return keystone.session_without_account(verify=verify, timeout=conf.glance_request_timeout)


def _tls(conf: Any) -> dict[str, Any]:
    """Return Glance's own options of connections; the account's apply to the rest."""
    wanted = {
        "cacert": conf.glance_ca_certificates_file,
        "cert": conf.glance_certfile,
        "key": conf.glance_keyfile,
        "insecure": conf.glance_api_insecure,
        "timeout": conf.glance_request_timeout,
    }
    return {name: value for name, value in wanted.items() if value}


def _place(conf: Any) -> dict[str, str]:
    """Return where the catalogue has Glance."""
    conf.register_opts([cfg.StrOpt(_REGION)], group=_GLANCE)
    kind, _, rest = conf.glance_catalog_info.partition(":")
    place = {"service_type": kind or "image"}
    if interface := rest.rpartition(":")[2].removesuffix("URL"):
        place["interface"] = interface
    if region := conf[_GLANCE][_REGION]:
        place[_REGION] = region
    return place
