# SPDX-License-Identifier: Apache-2.0
"""The systemd of a test shares no control group with another one, and leaves none."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.functional.local_driver.systemd import Systemd


def made(directory: Path) -> Systemd:
    directory.mkdir()
    return Systemd(directory, directory / "holdfast.conf", directory)


def test_two_at_once_share_no_control_group(tmp_path: Path) -> None:
    if reason := Systemd.missing():
        pytest.skip(reason)
    with ExitStack() as stack:
        both = made(tmp_path / "one"), made(tmp_path / "other")
        for systemd in both:
            stack.callback(systemd.close)
            systemd.start()

        one, other = ({*systemd.groups} for systemd in both)
        assert one and one.isdisjoint(other)
        assert all((group / "init.scope").exists() for group in one | other)

    assert [group for group in one | other if group.exists()] == []
