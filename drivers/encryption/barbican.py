# SPDX-License-Identifier: Apache-2.0
"""Barbican: its options, the account of the service that asks it, and its address.

Keys of volumes and certificates of signed images are read with the same account. Needs
keystoneauth where an account or a session is made.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

from oslo_config import cfg

from drivers import keystone

SECTION, KEY_MANAGER = "barbican", "key_manager"

SERVICE_USER = "barbican_service_user"

ACCOUNTS = (SERVICE_USER, "service_user", "keystone_authtoken")
"""Sections of keystoneauth that may have an account; the first one that has is used."""

SECTIONS_OF_ACCOUNTS = (KEY_MANAGER, *ACCOUNTS)
"""All of them, in the order in which an account is looked for."""

OPTS = [
    cfg.URIOpt("barbican_endpoint", help="Address of Barbican; else that of the catalogue."),
    cfg.StrOpt("barbican_api_version", help="Version of its API; v1 is the only one."),
    cfg.URIOpt(
        "auth_endpoint",
        default="http://localhost/identity/v3",
        deprecated_name="auth_url",
        deprecated_group="key_manager",
        help="Not used: a token of a request is sent as it came.",
    ),
    cfg.IntOpt("retry_delay", default=1, help="Seconds between two looks at an ordered key."),
    cfg.IntOpt("number_of_retries", default=60, help="How often an ordered key is looked at."),
    cfg.BoolOpt("verify_ssl", default=True, help="Whether its certificate is verified."),
    cfg.StrOpt("verify_ssl_path", help="File of authorities that it is verified with."),
    cfg.StrOpt(
        "barbican_endpoint_type",
        default="public",
        choices=["public", "internal", "admin"],
        help="Interface of its address in the catalogue.",
    ),
    cfg.StrOpt("barbican_region_name", help="Region of its address in the catalogue."),
    cfg.BoolOpt(
        "send_service_user_token",
        default=False,
        help="Whether the token of [barbican_service_user] goes with a user's token, which then"
        " may have expired.",
    ),
]
"""Castellan's options of [barbican], by its names and with its defaults."""

LOGIN_OPTS = [
    cfg.StrOpt(
        "auth_type",
        choices=["token", "password", "keystone_token", "keystone_password"],
        help="keystone_password: the account of this section is used where a request has no token."
        " The others have no effect.",
    ),
    cfg.StrOpt("token", secret=True, help="Not used."),
    cfg.StrOpt("username", help="Name of the account."),
    cfg.StrOpt("password", secret=True, help="Password of the account."),
    cfg.URIOpt("auth_url", help="Address of Keystone."),
    cfg.StrOpt("user_id", help="Id of the account, in place of its name."),
    cfg.StrOpt("user_domain_id", help="Id of the domain of the account."),
    cfg.StrOpt("user_domain_name", help="Name of the domain of the account."),
    cfg.StrOpt("trust_id", help="Id of a trust."),
    cfg.StrOpt("domain_id", help="Id of a domain, for a token of a domain."),
    cfg.StrOpt("domain_name", help="Name of a domain, for a token of a domain."),
    cfg.StrOpt("project_id", help="Id of the project whose keys the account makes."),
    cfg.StrOpt("project_name", help="Name of the project whose keys the account makes."),
    cfg.StrOpt("project_domain_id", help="Id of the domain of the project."),
    cfg.StrOpt("project_domain_name", help="Name of the domain of the project."),
    cfg.BoolOpt("reauthenticate", default=True, help="Whether an expired token is replaced."),
]
"""Castellan's options of an account in [key_manager]."""

_PASSWORD = (
    *("auth_url", "username", "password", "user_id", "user_domain_id", "user_domain_name"),
    *("trust_id", "domain_id", "domain_name", "project_id", "project_name"),
    *("project_domain_id", "project_domain_name", "reauthenticate"),
)

TIMEOUT = 60.0
"""Seconds for one answer."""

_VERSION = "/v1"


@dataclass(frozen=True)
class Account:
    """The account of the service.

    :param section: where it is configured.
    :param plugin: of keystoneauth; it keeps its token.
    """

    section: str
    plugin: Any = field(repr=False)


def register_opts(conf: Any) -> None:
    """Make the options known; may be repeated."""
    conf.register_opts(OPTS, group=SECTION)
    conf.register_opts(LOGIN_OPTS, group=KEY_MANAGER)


def account(conf: Any) -> Account | None:
    """Return the account of the service; None where none is configured.

    :raises Exception: its section says something that keystoneauth cannot use.
    """
    register_opts(conf)
    parts = keystone.library()
    if conf[KEY_MANAGER].auth_type == "keystone_password":
        given = {name: conf[KEY_MANAGER][name] for name in _PASSWORD}
        if not given["auth_url"]:
            raise LookupError(f"[{KEY_MANAGER}] auth_url is not set")
        return Account(KEY_MANAGER, parts.identity.Password(**given))
    if (section := keystone.account(conf, ACCOUNTS)) is None:
        return None
    return Account(section, parts.loading.load_auth_from_conf_options(conf, section))


def session(conf: Any, plugin: Any, section: str | None = None) -> Any:
    """Return a session for Barbican whose answers are limited, and whose log has no bodies.

    :param plugin: of keystoneauth.
    :param section: one of :data:`ACCOUNTS`, whose certificates of authorities are used unless
        [barbican] names others.
    """
    options = conf[SECTION]
    if section in ACCOUNTS:
        how: dict[str, Any] = {"timeout": TIMEOUT}
        if not options.verify_ssl:
            how["insecure"] = True
        elif options.verify_ssl_path:
            how["cacert"] = options.verify_ssl_path
        made = keystone.session(conf, str(section), plugin, **how)
    else:
        verify = options.verify_ssl and (options.verify_ssl_path or True)
        made = keystone.session_of(plugin, verify=verify, timeout=TIMEOUT)
    made.request = functools.partial(made.request, log=False)
    return made


def address(conf: Any, session: Any) -> str:
    """Return the address of Barbican, without its version.

    :raises LookupError: the catalogue of the account has none.
    """
    options = conf[SECTION]
    place = {"service_type": "key-manager", "interface": options.barbican_endpoint_type}
    if options.barbican_region_name:
        place["region_name"] = options.barbican_region_name
    found = options.barbican_endpoint or keystone.address(session, **place)
    return str(found).rstrip("/").removesuffix(_VERSION)
