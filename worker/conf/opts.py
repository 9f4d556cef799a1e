# SPDX-License-Identifier: Apache-2.0
"""Our options as oslo-config-generator wants them, for the sample file."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

from cotyledon import oslo_config_glue as processes
from oslo_config import cfg
from oslo_db import options as database

from drivers.backup import options
from drivers.encryption import barbican
from drivers.volume.local import LocalDriver
from worker.conf import key_managers
from worker.conf.backends import SHARED
from worker.conf.option_groups import (
    backend,
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

OptionGroups = list[tuple[str | cfg.OptGroup, Sequence[cfg.Opt]]]


def list_opts() -> OptionGroups:
    """Return our option groups.

    The options of backends stand under [backend_defaults], which holds for all of
    them; a backend's own section takes the same names.
    """
    groups: OptionGroups = [
        (
            "DEFAULT",
            [
                *default.OPTS,
                *project_shares.OPTS,
                *quota.OPTS,
                *image.OPTS,
                *backup.OPTS,
                *itertools.chain(*options.ALL),
                *processes.service_opts,
            ],
        ),
        (compute.GROUP, compute.OPTS),
        (coordination.GROUP, coordination.OPTS),
        (journal.GROUP, journal.OPTS),
        (key_managers.GROUP, key_managers.OPTS),
        (barbican.SECTION, barbican.OPTS),
        (key_managers.VAULT, key_managers.VAULT_OPTS),
        (monitoring.GROUP, monitoring.OPTS),
        (tracing.GROUP, tracing.OPTS),
        (SHARED, [*backend.OPTS, *LocalDriver.OPTS]),
    ]
    return copy.deepcopy(groups)


def set_defaults() -> None:
    """Change the defaults of the libraries for the sample as the start does."""
    libraries.set_defaults()
    cfg.set_defaults(database.database_opts, connection=libraries.DATABASE)
