# SPDX-License-Identifier: Apache-2.0
"""Configuration files for tests."""

from __future__ import annotations

import textwrap

import pytest
from oslo_config import cfg

from worker import conf


@pytest.fixture
def write(tmp_path):
    """A function that writes a configuration file and returns its path."""

    def write(text, name="holdfast.conf"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
        return str(path)

    return write


@pytest.fixture
def load(write):
    """A function that reads a configuration as the start does."""

    def load(text, *arguments, **options):
        argv = ["--config-file", write(text), *arguments]
        return conf.load(argv, prog="holdfast-volume", **options)

    yield load
    cfg.CONF.reset()
