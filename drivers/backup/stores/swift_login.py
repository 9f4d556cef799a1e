# SPDX-License-Identifier: Apache-2.0
"""Log in to Swift through Keystone, with limits of its answers.

The client of Swift would use python-keystoneclient, whose sessions cannot be limited.
"""

from __future__ import annotations

import urllib.parse
from typing import Any

from requests.exceptions import ConnectionError as NoConnection
from swiftclient.client import AUTH_VERSIONS_V2, AUTH_VERSIONS_V3, ClientException

from drivers import keystone

_SERVICE = "object-store"


def log_in(connection: Any) -> tuple[str, str]:
    """Return the address of the account, and a token.

    :param connection: a client of Swift, with its account.
    :raises ClientException: Keystone refuses it.
    :raises NoConnection: it does not answer; the client tries again.
    """
    exceptions = keystone.library().exceptions
    region = connection.os_options.get("region_name")
    made = keystone.session_of(
        _password(connection),
        verify=not connection.insecure and (connection.cacert or True),
        timeout=connection.timeout,
    )
    try:
        token = made.get_token()
        address = keystone.address(made, service_type=_SERVICE, interface="public", **_in(region))
    except exceptions.ConnectionError as error:
        raise NoConnection(f"Keystone: {error}") from error
    except (exceptions.ClientException, LookupError) as error:
        raise ClientException(f"the login at Keystone fails: {error}") from error
    return address, token


def _in(region: str | None) -> dict[str, str]:
    return {"region_name": region} if region else {}


def _password(connection: Any) -> Any:
    """Return the account as keystoneauth wants it, with the client's rules for its parts."""
    identity = keystone.library().identity
    given, user, version = dict(connection.os_options), connection.user, connection.auth_version
    if user and not given.get("tenant_name") and ":" in user:
        given["tenant_name"], user = user.split(":", 1)
    project = given.get("project_name") or given.get("tenant_name")
    if not project:
        raise ClientException("no project: see backup_swift_project and backup_swift_tenant")
    if version not in AUTH_VERSIONS_V2 + AUTH_VERSIONS_V3:
        raise ClientException(f"backup_swift_auth_version = {version} is none of 1, 2 and 3")
    is_old = version in AUTH_VERSIONS_V2
    address = _with_version(connection.authurl, "v2.0" if is_old else "v3")
    if is_old:
        return identity.V2Password(
            address, username=user, password=connection.key, tenant_name=project
        )
    domains = {
        f"{kind}_domain_{part}": value
        for kind in ("user", "project")
        for part, value in [_domain(given.get(f"{kind}_domain_name"))]
    }
    return identity.V3Password(
        address, username=user, password=connection.key, project_name=project, **domains
    )


def _domain(name: str | None) -> tuple[str, str]:
    return ("name", name) if name else ("id", "default")


def _with_version(address: str, version: str) -> str:
    """Return the address of an API of Keystone, which may be that of the server."""
    last = urllib.parse.urlsplit(address).path.rstrip("/").rpartition("/")[2]
    if last[:1] == "v" and last[1:2].isdigit():
        return address
    return f"{address.rstrip('/')}/{version}"
