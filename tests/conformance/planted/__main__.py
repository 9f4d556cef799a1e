# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.conformance.planted``: how many planted bugs the suite finds."""

from __future__ import annotations

import sys

from .campaign import main

sys.exit(main())
