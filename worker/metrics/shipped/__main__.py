# SPDX-License-Identifier: Apache-2.0
"""Write the files for monitors to etc/monitoring, or to another directory."""

from __future__ import annotations

import sys
from pathlib import Path

from worker.metrics.shipped import alerts, dashboard

FILES = {"holdfast.rules.yaml": alerts.rules, "holdfast-dashboard.json": dashboard.dashboard}


def main(place: Path) -> None:
    """Write each file."""
    for name, content in FILES.items():
        (place / name).write_text(content(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(*sys.argv[1:2]) if sys.argv[1:] else Path("etc/monitoring"))
