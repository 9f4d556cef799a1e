# SPDX-License-Identifier: Apache-2.0
"""The accounts with which the service makes itself known to others, through Keystone.

A token of a caller's would not outlive a restart, and is never written down: it is the
service that asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any


def account(conf: Any, sections: Sequence[str]) -> str | None:
    """Return the first section that has an account; None where none has.

    The options of each are registered. Needs keystoneauth.
    """
    loading = library().loading
    for section in sections:
        loading.register_auth_conf_options(conf, section)
        loading.register_session_conf_options(conf, section)
    given = (name for name in sections if conf[name].auth_section or conf[name].auth_type)
    return next(given, None)


def session(conf: Any, section: str, plugin: Any = None, **how: Any) -> Any:
    """Return a session of an account.

    :param plugin: the account, where it was loaded before.
    :param how: settings that replace the account's own ``cacert``, ``cert``, ``key``,
        ``insecure`` and ``timeout``.
    :raises Exception: the section says something that keystoneauth cannot use.
    """
    loading = library().loading
    auth = plugin or loading.load_auth_from_conf_options(conf, section)
    made = loading.load_session_from_conf_options(conf, section, auth=auth, **how)
    library().session_answers.limit(made.session)
    return made


def session_without_account(**how: Any) -> Any:
    """Return a session for a service that asks for no account.

    :param how: ``verify`` and ``timeout``, as for requests.
    """
    return session_of(library().noauth.NoAuth(), **how)


def session_of(auth: Any, **how: Any) -> Any:
    """Return a session of an account that was made without options.

    :param how: ``verify`` and ``timeout``, as for requests.
    """
    parts = library()
    made = parts.session.Session(auth, **how)
    parts.session_answers.limit(made.session)
    return made


def address(session: Any, **place: str) -> str:
    """Return the address of a service in the catalogue, without a request to that service.

    :param place: ``service_type``, ``interface`` and ``region_name``.
    :raises LookupError: the catalogue has no such service.
    """
    try:
        return str(session.get_endpoint(skip_discovery=True, **place))
    except library().exceptions.CatalogException as error:
        raise LookupError(f"the catalogue of Keystone has none: {error}") from error


def services_in(catalog: Any, kind: str) -> list[list[Mapping[str, Any]]]:
    """Return the endpoints of each service of a type in the catalogue of a request, in its order.

    :param catalog: a part of a message, so that it may be anything.
    :param kind: the type of the service, such as ``object-store``.
    """
    services = [one for one in _mappings(catalog) if one.get("type") == kind]
    return [_mappings(one.get("endpoints")) for one in services]


def _mappings(found: Any) -> list[Mapping[str, Any]]:
    if not isinstance(found, list | tuple):
        return []
    return [one for one in found if isinstance(one, Mapping)]


def library() -> Any:
    """Return the modules of keystoneauth. :raises ImportError: it is not installed."""
    # Late: an optional library, which takes memory.
    from keystoneauth1 import (
        exceptions,
        identity,
        loading,
        noauth,
        service_token,
        session,
        token_endpoint,
    )

    # Late: it imports such libraries.
    from drivers import session_answers

    return SimpleNamespace(
        exceptions=exceptions,
        identity=identity,
        loading=loading,
        noauth=noauth,
        service_token=service_token,
        session=session,
        session_answers=session_answers,
        token_endpoint=token_endpoint,
    )
