# SPDX-License-Identifier: Apache-2.0
"""Requirements of the verification of images' signatures, which is enabled by default."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator

from oslo_config import cfg

from drivers.encryption.barbican import ACCOUNTS, SECTIONS_OF_ACCOUNTS
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import Problem
from worker.conf.option_groups import compute, image

LOG = logging.getLogger(__name__)

LIBRARY = "cryptography"
"""The library that verifies."""

NO_LIBRARY = (
    f"volumes of signed images end in error without {LIBRARY}: pip install "
    "'holdfast[signatures]', or set this to disabled, and signed images are used unverified"
)

NO_ACCOUNT = (
    "volumes of signed images end in error without an account that reads certificates in "
    f"Barbican: see auth_type in [{ACCOUNTS[0]}], [{ACCOUNTS[1]}] or [{ACCOUNTS[2]}]"
)

_OPTION = next(one for one in image.OPTS if one.dest == "verify_glance_signatures")
_ENABLED = _OPTION.default


def are_verified(conf: cfg.ConfigOpts) -> bool:
    """Return whether images come from Glance, and their signatures matter."""
    return bool(conf.image_service == "glance" and conf.verify_glance_signatures == _ENABLED)


def lacks_library(conf: cfg.ConfigOpts) -> bool:
    """Return whether signatures matter, and the library that verifies them is missing."""
    return are_verified(conf) and importlib.util.find_spec(LIBRARY) is None


def warn_of_missing_library(conf: cfg.ConfigOpts) -> None:
    """Log that no signed image can be used."""
    if lacks_library(conf):
        LOG.warning("verify_glance_signatures: %s", NO_LIBRARY)


def warnings(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[Problem]:
    """Yield a warning for each requirement of signed images that is missing."""
    if lacks_library(conf):
        yield found.problem("DEFAULT", _OPTION, NO_LIBRARY, fatal=False)
    if are_verified(conf) and compute.account_sections(found).isdisjoint(SECTIONS_OF_ACCOUNTS):
        yield found.problem("DEFAULT", _OPTION, NO_ACCOUNT, fatal=False)
