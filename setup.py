# SPDX-License-Identifier: Apache-2.0
"""For tools that still call setup.py; everything is said in pyproject.toml."""

from setuptools import setup

setup()
