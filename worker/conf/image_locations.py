# SPDX-License-Identifier: Apache-2.0
"""Locations from which images come without Glance: the schemes that an operator allows."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from oslo_config import cfg

from drivers.image.glance_client import store_files
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import Problem

LOG = logging.getLogger(__name__)

_CINDER = "cinder"
_SCHEMES = store_files.OPTS[0]


def may_clone(conf: cfg.ConfigOpts) -> bool:
    """Return whether volumes in which Glance keeps images may be cloned."""
    return _CINDER in store_files.schemes(conf)


def warn_of_missing_directory(conf: cfg.ConfigOpts) -> None:
    """Log that no file of Glance's is read, although that is allowed."""
    if store_files.lacks_directory(conf):
        LOG.warning("%s", store_files.NO_DIRECTORY)


def warnings(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[Problem]:
    """Yield a warning where files of Glance's may be read, and none is known to be one."""
    if store_files.lacks_directory(conf):
        yield found.problem("DEFAULT", _SCHEMES, store_files.NO_DIRECTORY, fatal=False)
