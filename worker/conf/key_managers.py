# SPDX-License-Identifier: Apache-2.0
"""The key manager of encrypted volumes; sections [key_manager], [barbican] and [vault].

The options are castellan's, by its names and with its defaults, but for ``retry_seconds``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from oslo_config import cfg

from drivers.encryption import barbican
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import Problem
from worker.conf.option_groups.compute import account_sections

GROUP, VAULT = barbican.KEY_MANAGER, "vault"

LIBRARY = "castellan"

BARBICAN_KIND, VAULT_KIND, FIXED_KIND = "barbican", "vault", "fixed"

KINDS = {
    "barbican": BARBICAN_KIND,
    "castellan.key_manager.barbican_key_manager.BarbicanKeyManager": BARBICAN_KIND,
    "vault": VAULT_KIND,
    "castellan.key_manager.vault_key_manager.VaultKeyManager": VAULT_KIND,
    "cinder.keymgr.conf_key_mgr.ConfKeyManager": FIXED_KIND,
}
"""The kind of a key manager by the values of ``backend``."""

OPTS = [
    cfg.StrOpt(
        "backend",
        default="barbican",
        deprecated_name="api_class",
        deprecated_group=GROUP,
        help="barbican, vault, or cinder.keymgr.conf_key_mgr.ConfKeyManager.",
    ),
    cfg.StrOpt(
        "fixed_key",
        secret=True,
        help="The key of all volumes with ConfKeyManager, in hexadecimal; with another backend it"
        " is read for volumes that have it still.",
    ),
    cfg.FloatOpt(
        "retry_seconds",
        default=60,
        min=0,
        help="Seconds for which a call is repeated while the key manager does not answer, or has"
        " an error of its own.",
    ),
    *barbican.LOGIN_OPTS,
]
"""Options of [key_manager]; retry_seconds is not castellan's."""

VAULT_OPTS = [
    cfg.StrOpt("root_token_id", secret=True, help="Token of root."),
    cfg.StrOpt(
        "auth_method",
        default="approle",
        choices=("approle", "jwt", "kubernetes"),
        help="How one logs in without root_token_id.",
    ),
    cfg.StrOpt("approle_role_id", secret=True, help="Role of approle."),
    cfg.StrOpt("approle_secret_id", secret=True, help="Secret of the role."),
    cfg.StrOpt("token_role", help="Role of jwt and kubernetes."),
    cfg.StrOpt("token_file", help="File with the token of jwt and kubernetes."),
    cfg.StrOpt("auth_path", help="Path of the way to log in; else the name of auth_method."),
    cfg.StrOpt("kv_mountpoint", default="secret", help="Mount point of the store of keys."),
    cfg.StrOpt("kv_path", help="Path in the store of keys."),
    cfg.IntOpt("kv_version", default=2, choices=(1, 2), help="Version of the store of keys."),
    cfg.URIOpt(
        "vault_url",
        default="http://127.0.0.1:8200",
        schemes=["http", "https"],
        help="Address of Vault.",
    ),
    cfg.StrOpt("ssl_ca_crt_file", help="File of authorities that it is verified with."),
    cfg.BoolOpt("use_ssl", default=False, help="No effect: the address says it."),
    cfg.StrOpt("namespace", help="Namespace of Vault Enterprise."),
    cfg.FloatOpt("timeout", default=60, help="Seconds for one answer."),
]
"""Options of [vault]."""

NO_LIBRARY = (
    f"{LIBRARY} is not installed, which asks the key manager of encrypted volumes: pip install "
    "'holdfast[encryption]'"
)


NO_ACCOUNT = (
    "operations on encrypted volumes and backups that a restart interrupts end in error without an "
    f"account for Barbican: see auth_type in [{barbican.KEY_MANAGER}] or [{barbican.SERVICE_USER}]"
)


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known; may be repeated."""
    conf.register_opts(OPTS, group=GROUP)
    conf.register_opts(barbican.OPTS, group=barbican.SECTION)
    conf.register_opts(VAULT_OPTS, group=VAULT)


def kind(conf: cfg.ConfigOpts) -> str | None:
    """Return the kind of the configured key manager; None for a class that is not known."""
    return KINDS.get(conf[GROUP].backend.strip())


def is_configured(found: ConfigFiles) -> bool:
    """Return whether files say something about the key manager: volumes may be encrypted."""
    return any(entry.section.lower() == GROUP and entry.option for entry in found.entries)


def warnings(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[Problem]:
    """Yield a warning for each requirement of a configured key manager that is missing."""
    if not is_configured(found) or kind(conf) is None:
        return
    if lacks_library(conf):
        yield found.problem(GROUP, OPTS[0], NO_LIBRARY, fatal=False)
    accounts = account_sections(found) & set(barbican.SECTIONS_OF_ACCOUNTS)
    if kind(conf) == BARBICAN_KIND and not accounts:
        yield found.problem(GROUP, OPTS[0], NO_ACCOUNT, fatal=False)
    if kind(conf) == FIXED_KIND and not conf[GROUP].fixed_key:
        yield found.problem(GROUP, OPTS[1], "is not set: ConfKeyManager has no key", fatal=False)


def lacks_library(conf: cfg.ConfigOpts) -> bool:
    """Return whether the library that asks the configured key manager is missing."""
    return kind(conf) != FIXED_KIND and importlib.util.find_spec(LIBRARY) is None
