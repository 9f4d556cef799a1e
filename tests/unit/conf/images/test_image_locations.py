# SPDX-License-Identifier: Apache-2.0
"""Schemes of locations of images, as files have them."""

from __future__ import annotations

import pytest

from worker.conf import image_locations
from worker.conf.check import config_files


@pytest.mark.parametrize(
    ("line", "clones"),
    [("", False), ("= file", False), ("= cinder", True), ("= file, Cinder ", True)],
)
def test_volumes_are_cloned_where_that_is_allowed(load, line, clones):
    conf = load(f"[DEFAULT]\nallowed_direct_url_schemes {line}\n" if line else "[DEFAULT]\n")

    assert image_locations.may_clone(conf) == clones


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("", False),
        ("allowed_direct_url_schemes = cinder", False),
        ("allowed_direct_url_schemes = cinder, file", True),
        ("allowed_direct_url_schemes = file\nglance_file_directory = /images", False),
    ],
)
def test_files_need_a_directory(load, caplog, text, warned):
    conf = load(f"[DEFAULT]\n{text}\n")
    problems = list(image_locations.warnings(conf, config_files.of(conf)))
    image_locations.warn_of_missing_directory(conf)

    assert [problem.option for problem in problems] == ["allowed_direct_url_schemes"] * warned
    assert not any(problem.fatal for problem in problems)
    assert ("glance_file_directory" in caplog.text) == warned
