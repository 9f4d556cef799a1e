# SPDX-License-Identifier: Apache-2.0
"""Native threads for every test, as in the programs."""

from worker import nogreen  # noqa: F401
