# SPDX-License-Identifier: Apache-2.0
"""A key manager with the configuration of a test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg

from worker.adapters.keys.key_manager import KeyManager
from worker.conf import option_groups

Made = Callable[..., KeyManager]

OWNER: Any = SimpleNamespace(id="a-backup", user_id="user")


@pytest.fixture
def made() -> Made:
    """Return a function that makes a key manager of sections of options."""

    def make(**sections: dict[str, Any]) -> KeyManager:
        conf = cfg.ConfigOpts()
        option_groups.register_all(conf)
        conf([], default_config_files=[])
        conf.set_override("retry_seconds", 2, group="key_manager")
        for section, options in sections.items():
            for name, value in options.items():
                conf.set_override(name, value, group=section)
        return KeyManager(conf, threading.Event())

    return make


def request(token: str | None) -> Any:
    """Return a request with a token."""
    return SimpleNamespace(auth_token=token, service_catalog=None)
