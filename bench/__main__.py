# SPDX-License-Identifier: Apache-2.0
"""``python -m bench NAME …``: run one benchmark of this directory."""

from __future__ import annotations

import runpy
import sys

BENCHMARKS = (
    "backends",
    "backup",
    "calls",
    "casts",
    "cluster",
    "fairness",
    "journal",
    "outages",
    "peer",
    "recovery",
    "soak",
)

if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in BENCHMARKS:
        sys.exit(f"which benchmark? one of: {', '.join(BENCHMARKS)}")
    del sys.argv[1]
    runpy.run_module(f"bench.{name}", run_name="__main__", alter_sys=True)
