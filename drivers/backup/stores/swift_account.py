# SPDX-License-Identifier: Apache-2.0
"""The account of a user in Swift: its address and the token, as the user's request has them.

The token lives as long as the request is in memory: a journal, a row or a log never has it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from oslo_config import cfg

from drivers import keystone
from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record

PER_USER = "per_user"
"""Value of ``backup_swift_auth`` by which objects lie in the accounts of users."""

SECTION = "service_user"
"""The section with the account of the service, as in Cinder."""

_SEND = cfg.BoolOpt("send_service_user_token", default=False)


@dataclass(frozen=True)
class UserAccount:
    """The account of a project in Swift.

    :param url: the address of the account.
    :param token: the token of the user.
    """

    url: str
    token: str = field(repr=False)


class ServiceToken:
    """The token of the service, beside which Swift accepts a user's token that has expired.

    :param configuration: has the options, and ``conf``, in which the account of the service is.
    """

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        self._lock = threading.Lock()
        self._session: Any = None

    def get(self) -> str | None:
        """Return a token that is valid now; None unless the options want one.

        :raises BackupDriverException: the options want one, and Keystone gives none.
        """
        if not self._configuration.backup_swift_service_auth:
            return None
        conf = self._configuration.conf
        conf.register_opt(_SEND, group=SECTION)
        if not conf[SECTION].send_service_user_token:
            return None
        try:
            with self._lock:
                if self._session is None:
                    self._session = self._made(conf)
                return str(self._session.get_token())
        except BackupDriverException:
            raise
        except Exception as error:
            text = f"no token for [{SECTION}], which backup_swift_service_auth needs: {error}"
            raise BackupDriverException(text) from error

    @staticmethod
    def _made(conf: Any) -> Any:
        if keystone.account(conf, (SECTION,)) is None:
            text = f"backup_swift_service_auth needs the account of the service: set [{SECTION}]"
            raise BackupDriverException(text)
        return keystone.session(conf, SECTION)


def account_of(configuration: Any, request: Any, backup: Record) -> UserAccount:
    """Return the account in which a backup lies.

    It is that of the backup's project, whoever asks: Cinder looks in the account of the request,
    where the backup of another project is not, and then reports it as deleted.

    :raises BackupDriverException: the request has no token, or leads to no account.
    """
    token = getattr(request, "auth_token", None)
    if not token:
        raise BackupDriverException(
            f"backup {backup.id} lies in the account of its user (backup_swift_auth = per_user), "
            "and the request has no token of a user: tokens are not stored, so an operation that "
            "a restart has interrupted ends here; repeat the request"
        )
    project, owner = request.project_id, backup.project_id or request.project_id
    if address := configuration.backup_swift_url:
        return UserAccount(_checked(f"{address}{owner}", "backup_swift_url"), token)
    url = _checked(_in_catalog(configuration, request.service_catalog), "the service catalogue")
    if owner != project:
        if not project or not url.endswith(str(project)):
            text = f"backup {backup.id} is of project {owner}, the request of project {project}"
            raise BackupDriverException(f"{text}: make it with a token of the first one")
        url = f"{url.removesuffix(str(project))}{owner}"
    return UserAccount(url, token)


def catalog_entry(configuration: Any) -> tuple[str, str]:
    """Return type and key of an endpoint that ``swift_catalog_info`` names.

    :raises BackupDriverException: it is not made of three parts.
    """
    text = str(configuration.swift_catalog_info or "")
    parts = text.split(":")
    if len(parts) != 3 or not parts[0] or not parts[2]:
        raise BackupDriverException(
            f"swift_catalog_info = {text!r:.120} is not type:name:endpoint, such as "
            "object-store:swift:publicURL"
        )
    return parts[0], parts[2]


def _in_catalog(configuration: Any, catalog: Any) -> str:
    """Return the address in a catalogue: of the first service of the type, in the region."""
    kind, key = catalog_entry(configuration)
    endpoints = next(iter(keystone.services_in(catalog, kind)), [])
    region = configuration.backup_swift_region_name
    inside = [one for one in endpoints if region and one.get("region") == region]
    address = next((one.get(key) for one in (*inside, *endpoints)), None)
    if not isinstance(address, str) or not address:
        text = f"the catalogue of the request has no {key} of a service {kind}"
        raise BackupDriverException(f"{text}: set backup_swift_url, or swift_catalog_info")
    return address


def _checked(url: str, source: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BackupDriverException(f"{source} has {url!r:.200}, which is no address of Swift")
    return url.rstrip("/")
