# SPDX-License-Identifier: Apache-2.0
"""The compute service that is notified of volumes; section [nova]."""

from __future__ import annotations

from oslo_config import cfg

from drivers.compute.nova import Nova
from drivers.interface.errors import ComputeError
from worker.conf.check.config_files import ConfigEntry, ConfigFiles
from worker.conf.check.problems import Problem

GROUP, OPTS = Nova.GROUP, Nova.OPTS

ACCOUNT = ("auth_type", "auth_plugin", "auth_section")
"""Options of keystoneauth, each of which says that there is an account."""


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known; keystoneauth adds those of the account when it is needed."""
    conf.register_opts(OPTS, group=GROUP)


def accounts(found: ConfigFiles) -> list[ConfigEntry]:
    """Return the assignments that say that there is an account."""
    return [e for e in found.entries if e.section.lower() == GROUP and e.option in ACCOUNT]


def account_sections(found: ConfigFiles) -> set[str]:
    """Return the sections of files that have an account, in lower case."""
    return {entry.section.lower() for entry in found.entries if entry.option in ACCOUNT}


def faults(conf: cfg.ConfigOpts, found: ConfigFiles) -> list[Problem]:
    """Return the reasons why a configured account is not used; none of them is fatal."""
    if not (given := accounts(found)):
        return []
    try:
        Nova(conf).check()
    except ComputeError as error:
        last = given[-1]
        # The volumes are as was asked without Nova; the backup service needs none at all.
        return [Problem(last.file, last.line, last.section, last.option, str(error), False)]
    return []
