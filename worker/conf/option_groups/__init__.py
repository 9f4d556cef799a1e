# SPDX-License-Identifier: Apache-2.0
"""One module per option group, and the registration of those that no single backend has."""

from __future__ import annotations

from oslo_config import cfg

from worker.conf import key_managers
from worker.conf.option_groups import (
    backup,
    compute,
    coordination,
    default,
    image,
    journal,
    libraries,
    monitoring,
    project_shares,
    quota,
    tracing,
)


def register_all(conf: cfg.ConfigOpts) -> None:
    """Make the options of the service and of its libraries known; may be repeated."""
    for group in (
        default,
        project_shares,
        quota,
        image,
        compute,
        backup,
        coordination,
        journal,
        key_managers,
        monitoring,
        tracing,
        libraries,
    ):
        group.register_opts(conf)
