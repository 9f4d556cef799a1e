# SPDX-License-Identifier: Apache-2.0
"""The directory for state that must outlive a restart."""

from __future__ import annotations

import os

from oslo_config import cfg

from worker import file_access, file_modes
from worker.conf.check import config_files
from worker.conf.check.problems import ConfigError
from worker.conf.option_groups import default

_PATH = next(option for option in default.OPTS if option.dest == "state_path")


def prepare(conf: cfg.ConfigOpts) -> str:
    """Make ``state_path`` if it is not there, and return it.

    :raises ConfigError: it cannot be made, we may not write into it, or everybody may.
    """
    path: str = conf.state_path
    try:
        os.makedirs(path, mode=0o750, exist_ok=True)
    except (OSError, ValueError) as error:
        text = f"{path} cannot be made: {getattr(error, 'strerror', error)}"
        raise ConfigError(config_files.of(conf).problem("DEFAULT", _PATH, text)) from None
    if not os.access(path, os.W_OK | os.X_OK):
        text = f"{path} cannot be written by user {file_access.us()}"
        raise ConfigError(config_files.of(conf).problem("DEFAULT", _PATH, text))
    if not file_modes.close_to_others(path):
        text = f"everybody can replace files in {path}: chmod o-w {path}"
        raise ConfigError(config_files.of(conf).problem("DEFAULT", _PATH, text))
    return path
