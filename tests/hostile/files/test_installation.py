# SPDX-License-Identifier: Apache-2.0
"""The systemd units, and the lowest versions of libraries that may be installed."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UNITS = sorted((ROOT / "etc/systemd").glob("*.service"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]

MENDED = {
    "PyMySQL": "1.1.1",  # CVE-2024-36039: dicts as parameters were not escaped
    "cryptography": "48.0.1",  # GHSA-537c-gmf6-5ccf; of signatures
    "idna": "3.15",  # CVE-2024-3651, CVE-2026-45409: the time for a host, as of a redirection
    "psycopg": "3.2.13",  # CVE-2025-12818, in the libpq that it contains
    "psycopg2-binary": "2.9.13",  # CVE-2025-1094, CVE-2025-12818, CVE-2026-6477: its libpq
    "pytest": "9.0.3",  # CVE-2025-71176: directories in /tmp that another user makes first
    "redis": "6",  # CVE-2023-28858: answers to others; host names in certificates
    "requests": "2.33",  # CVE-2024-35195, CVE-2024-47081, CVE-2026-25645: credentials, files
    "setuptools": "78.1.1",  # CVE-2025-47273: paths of packages
    "urllib3": "2.7",  # CVE-2026-44431 and -44432, CVE-2026-21441: redirections, unpacking
}
"""The first versions without a known hole that input of the worker, or of its tests, could reach.

Later holes are left out where it cannot: CVE-2026-59890 of setuptools is in archives that macOS
makes, CVE-2026-57585 of msgpack in a reader that nothing here uses.
"""

_REQUIREMENT = re.compile(r"^([\w.-]+)(?:\[[\w,]+\])?>=([\d.]+)")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _requirements() -> list[tuple[str, str]]:
    build = PROJECT["build-system"]["requires"]
    lines = [*build, *PROJECT["project"]["dependencies"], *chain(*EXTRAS.values())]
    found = [_REQUIREMENT.match(line) for line in lines if not line.startswith("holdfast[")]
    assert all(found), "a requirement has no lower bound"
    return [one.groups() for one in found if one]  # type: ignore[misc]


@pytest.mark.parametrize("name", MENDED)
def test_no_version_with_a_known_hole_satisfies_a_requirement(name: str) -> None:
    bounds = [_numbers(low) for known, low in _requirements() if known == name]

    assert bounds
    assert min(bounds) >= _numbers(MENDED[name])


@pytest.mark.parametrize("extra", ["glance", "nova", "s3", "swift"])
def test_a_client_over_https_brings_libraries_without_known_holes(extra: str) -> None:
    names = {line.partition(">=")[0] for line in EXTRAS[extra]}

    assert {"idna", "urllib3"} <= names
    assert "requests" in names or extra == "s3"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_writes_no_core_and_its_directories_are_not_for_everybody(unit: Path) -> None:
    lines = unit.read_text().splitlines()

    assert "LimitCORE=0" in lines
    assert "UMask=0027" in lines
    for line in lines:
        if found := re.match(r"(State|Runtime|Logs|Configuration|Cache)Directory=", line):
            assert f"{found[1]}DirectoryMode=0750" in lines
