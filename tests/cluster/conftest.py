# SPDX-License-Identifier: Apache-2.0
"""A network of namespaces; all tests here are skipped by name where the rights are missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.conftest import missing
from tests.length import forked as forked
from tests.servers.several import network as private
from tests.servers.several.network import Network


@pytest.fixture(scope="session")
def rights() -> None:
    """Skip unless this machine can make network namespaces."""
    if reason := private.missing():
        missing(reason)


@pytest.fixture(scope="session")
def network(rights: None) -> Iterator[Network]:
    """A private network for this run."""
    with contextlib.closing(Network()) as made:
        yield made
