# SPDX-License-Identifier: Apache-2.0
"""Locations from which images come without Glance: the schemes that an operator allows."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from oslo_config import cfg

from drivers.image.glance_client import glance_server, store_files
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import Problem
from worker.conf.option_groups.compute import account_sections
from worker.conf.option_groups.image import SERVICE as IMAGE_SERVICE

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


def account_warnings(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[Problem]:
    """Yield a warning where Glance has the images, and no section has the account for it."""
    asked = conf.image_service == "glance" and conf.auth_strategy == "keystone"
    if asked and account_sections(found).isdisjoint(glance_server.ACCOUNTS):
        yield found.problem("DEFAULT", IMAGE_SERVICE, glance_server.NO_ACCOUNT, fatal=False)


def warnings(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[Problem]:
    """Yield a warning where files of Glance's may be read, and none is known to be one."""
    if store_files.lacks_directory(conf):
        yield found.problem("DEFAULT", _SCHEMES, store_files.NO_DIRECTORY, fatal=False)
