# SPDX-License-Identifier: Apache-2.0
"""Images that are kept in clones of volumes: the options of a backend, and the clones' owner."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from oslo_config import cfg

from flows.context import CloneUploads
from worker.conf import backends
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import ConfigError, Problem
from worker.conf.option_groups import backend

LOG = logging.getLogger(__name__)

NO_TENANT = (
    "clones that keep images belong to the project of the image, without "
    "cinder_internal_tenant_project_id and cinder_internal_tenant_user_id in [DEFAULT]"
)

_INTERNAL = next(one for one in backend.OPTS if one.dest == "image_upload_use_internal_tenant")


def options(conf: cfg.ConfigOpts, configuration: Any) -> CloneUploads | None:
    """Return the options; None where the data of volumes is sent.

    :param configuration: of the backend.
    """
    if not configuration.image_upload_use_cinder_backend:
        return None
    timeout = float(conf.glance_request_timeout)
    if not configuration.image_upload_use_internal_tenant or _lacks_tenant(conf, configuration):
        return CloneUploads(timeout=timeout)
    project, user = conf.cinder_internal_tenant_project_id, conf.cinder_internal_tenant_user_id
    return CloneUploads(project_id=project, user_id=user, timeout=timeout)


def warn_of_missing_tenant(conf: cfg.ConfigOpts, configuration: Any, name: str) -> None:
    """Log that the clones of a backend do not belong to the internal tenant."""
    if _lacks_tenant(conf, configuration):
        LOG.warning("[%s] image_upload_use_internal_tenant: %s", name, NO_TENANT)


def warnings(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[Problem]:
    """Yield a warning for each backend whose clones lack the owner that they are to have."""
    for name in conf.enabled_backends:
        try:
            _driver, configuration = backends.configure(conf, name)
        except ConfigError:  # reported elsewhere
            continue
        if _lacks_tenant(conf, configuration):
            yield found.problem(name, _INTERNAL, NO_TENANT, fatal=False)


def _lacks_tenant(conf: cfg.ConfigOpts, configuration: Any) -> bool:
    wanted = configuration.image_upload_use_cinder_backend
    wanted = wanted and configuration.image_upload_use_internal_tenant
    project, user = conf.cinder_internal_tenant_project_id, conf.cinder_internal_tenant_user_id
    return bool(wanted and not (project and user))
