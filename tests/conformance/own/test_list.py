# SPDX-License-Identifier: Apache-2.0
"""The list of tested drivers: one that is no longer tested must not go unnoticed."""

from __future__ import annotations

import tomllib
from pathlib import Path

from .cases import CASES

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def points(group):
    return set(tomllib.loads(PROJECT.read_text())["project"]["entry-points"][group])


class TestList:
    """The cases of this folder."""

    def test_every_driver_of_ours_is_tested(self):
        assert {case.driver for case in CASES} == points("holdfast.volume_drivers")

    def test_every_place_is_tested(self):
        assert [case.name for case in CASES] == [
            "noop",
            "local",
            "local-ext4",
            "local-xfs",
            "local-nbd",
            "local-nbd-tcp",
        ]
