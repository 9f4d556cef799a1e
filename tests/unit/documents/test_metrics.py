# SPDX-License-Identifier: Apache-2.0
"""The metrics that docs/monitoring.rst lists are those of the code, with their labels."""

from __future__ import annotations

import re
from pathlib import Path

from worker.metrics.definitions import METRICS
from worker.metrics.shipped.alerts import ALERTS

TEXT = (Path(__file__).parents[3] / "docs" / "monitoring.rst").read_text(encoding="utf-8")
_ROW = re.compile(r"^   \* - ``(holdfast_\w+)``\n     - (.+)\n     - (\w+): ", re.MULTILINE)


def test_each_metric_is_listed_with_its_labels_and_its_kind() -> None:
    listed = {name: (labels, kind) for name, labels, kind in _ROW.findall(TEXT)}

    assert listed == {
        one.name: (", ".join(one.labels) or "–", one.kind) for one in METRICS.values()
    }


def test_each_alert_is_explained() -> None:
    assert re.findall(r"^``(Holdfast\w+)``", TEXT, re.MULTILINE) == [one.name for one in ALERTS]
