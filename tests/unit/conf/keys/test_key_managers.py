# SPDX-License-Identifier: Apache-2.0
"""Requirements of a configured key manager, as files and the environment have them."""

from __future__ import annotations

import importlib.util

import pytest

from worker.conf import key_managers
from worker.conf.check import config_files, packages

CONF_KEY_MANAGER = "cinder.keymgr.conf_key_mgr.ConfKeyManager"
ACCOUNT = "[keystone_authtoken]\nauth_type = password\n"


@pytest.fixture(params=[True, False])
def is_missing(request, monkeypatch):
    """Whether castellan is missing."""
    find = importlib.util.find_spec

    def found(name):
        if name == key_managers.LIBRARY:
            return None if request.param else object()
        return find(name)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    return request.param


@pytest.mark.parametrize(
    ("section", "matters"),
    [
        ("", False),
        ("[key_manager]\nbackend = barbican\n", True),
        ("[key_manager]\nbackend = vault\n", True),
        (f"[key_manager]\nbackend = {CONF_KEY_MANAGER}\nfixed_key = 00\n", False),
    ],
)
def test_castellan_is_missing_where_a_key_manager_is_configured(load, is_missing, section, matters):
    conf = load(f"{section}{ACCOUNT}")
    found = config_files.of(conf)
    warned = matters and is_missing

    problems = list(key_managers.warnings(conf, found))

    assert ["holdfast[encryption]" in one.text for one in problems] == [True] * warned
    assert not any(one.fatal for one in problems)
    assert ("encryption" in packages.command(conf, found)) == warned


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("[key_manager]\nbackend = barbican\n", True),
        ("[key_manager]\nbackend = vault\n", False),
        ("[key_manager]\nauth_type = keystone_password\n", False),
        (
            "[key_manager]\nbackend = barbican\n[barbican_service_user]\nauth_type = password\n",
            False,
        ),
        (ACCOUNT, False),
    ],
)
def test_barbican_needs_an_account_after_a_restart(load, text, warned):
    conf = load(text)

    problems = list(key_managers.warnings(conf, config_files.of(conf)))

    assert any("[barbican_service_user]" in one.text for one in problems) == warned


def test_the_fixed_key_of_conf_key_manager_is_missing(load):
    conf = load(f"[key_manager]\nbackend = {CONF_KEY_MANAGER}\n")

    (problem,) = key_managers.warnings(conf, config_files.of(conf))

    assert (problem.option, problem.fatal) == ("fixed_key", False)
