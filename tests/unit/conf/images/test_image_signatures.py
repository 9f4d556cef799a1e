# SPDX-License-Identifier: Apache-2.0
"""Requirements of signed images, as files and the environment have them."""

from __future__ import annotations

import importlib.util

import pytest

from worker.conf import image_signatures
from worker.conf.check import config_files, packages

ACCOUNT = "[service_user]\nauth_type = password\n"


@pytest.fixture(params=[True, False])
def is_missing(request, monkeypatch):
    """Whether the library that verifies signatures is missing."""
    find = importlib.util.find_spec

    def found(name):
        if name == image_signatures.LIBRARY:
            return None if request.param else object()
        return find(name)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    return request.param


@pytest.mark.parametrize(
    ("text", "matters"),
    [
        ("image_service = glance", True),
        ("image_service = glance\nverify_glance_signatures = enabled", True),
        ("image_service = glance\nverify_glance_signatures = disabled", False),
        ("", False),
    ],
)
def test_the_library_is_missing_where_signatures_matter(load, caplog, is_missing, text, matters):
    conf = load(f"[DEFAULT]\n{text}\n{ACCOUNT}")
    found = config_files.of(conf)
    problems = list(image_signatures.warnings(conf, found))
    image_signatures.warn_of_missing_library(conf)
    warned = matters and is_missing

    assert [one.option for one in problems] == ["verify_glance_signatures"] * warned
    assert not any(one.fatal for one in problems)
    assert ("without cryptography" in caplog.text) == warned
    assert ("signatures" in packages.command(conf, found)) == warned


@pytest.mark.parametrize(
    ("account", "warned"),
    [
        ("", True),
        ("[glance]\nauth_type = password\n", True),
        (ACCOUNT, False),
        ("[keystone_authtoken]\nauth_section = x\n", False),
        ("[barbican_service_user]\nauth_type = password\n", False),
    ],
)
def test_an_account_reads_certificates(load, account, warned):
    conf = load(f"[DEFAULT]\nimage_service = glance\n{account}")
    problems = list(image_signatures.warnings(conf, config_files.of(conf)))

    assert any("barbican_service_user" in str(one) for one in problems) == warned
