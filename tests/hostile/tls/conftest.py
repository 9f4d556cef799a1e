# SPDX-License-Identifier: Apache-2.0
"""Certificates for the servers of a run."""

from __future__ import annotations

import pytest

from tests.hostile.tls.certificates import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("tls") / "pki")
    # PostgreSQL, as another user, and the clients read it.
    for place in (made.place, *made.place.parents[:3]):
        place.chmod(place.stat().st_mode | 0o055)
    return made
