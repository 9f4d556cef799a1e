# SPDX-License-Identifier: Apache-2.0
"""The files of the installed packages are read once, however many groups are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from worker import conf, entry_points


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """The groups that were read from the packages; nothing is known at the begin."""
    made: list[dict[str, str]] = []
    read = metadata.entry_points

    def counted(**wanted: str) -> Any:
        made.append(wanted)
        return read(**wanted)

    cached = entry_points.of_group, entry_points.names, entry_points._installed
    for one in cached:
        one.cache_clear()
    monkeypatch.setattr(metadata, "entry_points", counted)
    yield made
    cfg.CONF.reset()


def test_groups_are_those_of_the_packages(reads: list[dict[str, str]]) -> None:
    for group in ("holdfast.volume_drivers", "tooz.backends", "no.such.group"):
        expected = metadata.entry_points(group=group)

        assert set(entry_points.of_group(group)) == set(expected)
        assert entry_points.names(group) == set(expected.names)
    assert reads.count({}) == 1


def test_a_start_reads_the_packages_once(reads: list[dict[str, str]], tmp_path: Path) -> None:
    place = tmp_path / "holdfast.conf"
    place.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\nenabled_backends = local\n"
        f"[local]\nvolume_driver = local\nlocal_path = {tmp_path}/volumes\n"
    )
    conf.load([f"--config-file={place}"], prog="holdfast-volume")

    assert reads == [{}]
