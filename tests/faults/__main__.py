# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.faults``: the kill campaign; the other faults are pytest's."""

import sys

from tests.faults.kill.__main__ import main

sys.exit(main())
