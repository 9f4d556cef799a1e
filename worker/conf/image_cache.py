# SPDX-License-Identifier: Apache-2.0
"""The image-volume cache of a backend: its options, and the owner that its volumes need."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from oslo_config import cfg

from flows.context import ImageCacheOptions
from worker.conf import backends
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import ConfigError, Problem
from worker.conf.option_groups import backend

LOG = logging.getLogger(__name__)

NO_TENANT = (
    "there is no cache without cinder_internal_tenant_project_id and "
    "cinder_internal_tenant_user_id in [DEFAULT], to which its volumes belong"
)

_ENABLED = next(one for one in backend.OPTS if one.dest == "image_volume_cache_enabled")


def options(conf: cfg.ConfigOpts, configuration: Any) -> ImageCacheOptions | None:
    """Return the options; None where the cache is disabled, or its volumes have no owner.

    :param configuration: of the backend.
    """
    project, user = conf.cinder_internal_tenant_project_id, conf.cinder_internal_tenant_user_id
    if not (configuration.image_volume_cache_enabled and project and user):
        return None
    return ImageCacheOptions(
        project_id=project,
        user_id=user,
        max_gib=configuration.image_volume_cache_max_size_gb,
        max_count=configuration.image_volume_cache_max_count,
    )


def warn_of_missing_tenant(conf: cfg.ConfigOpts, configuration: Any, name: str) -> None:
    """Log that the cache of a backend, which is enabled, is not used."""
    if configuration.image_volume_cache_enabled and options(conf, configuration) is None:
        LOG.warning("[%s] image_volume_cache_enabled: %s", name, NO_TENANT)


def warnings(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[Problem]:
    """Yield a warning for each backend whose cache lacks an owner."""
    for name in conf.enabled_backends:
        try:
            _driver, configuration = backends.configure(conf, name)
        except ConfigError:  # reported elsewhere
            continue
        if configuration.image_volume_cache_enabled and options(conf, configuration) is None:
            yield found.problem(name, _ENABLED, NO_TENANT, fatal=False)
