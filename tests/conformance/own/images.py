# SPDX-License-Identifier: Apache-2.0
"""The image service of this repository that needs no server."""

from __future__ import annotations

from tests.conformance.backend import Case

CASES = (Case("directory", "directory", points=3),)
