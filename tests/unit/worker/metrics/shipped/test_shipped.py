# SPDX-License-Identifier: Apache-2.0
"""Rules and dashboard: current, and with no name but those of the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.metrics.definitions import METRICS
from worker.metrics.shipped.__main__ import FILES
from worker.metrics.shipped.alerts import ALERTS, rules
from worker.metrics.shipped.dashboard import dashboard
from worker.metrics.shipped.expression import expression, unknown

PLACE = Path(__file__).parents[5] / "etc" / "monitoring"


@pytest.mark.parametrize("name", FILES)
def test_the_shipped_file_is_current(name: str) -> None:
    """Run: python -m worker.metrics.shipped."""
    assert (PLACE / name).read_text(encoding="utf-8") == FILES[name]()


def expressions() -> list[str]:
    found: list[Any] = [one["expr"] for one in yaml.safe_load(rules())["groups"][0]["rules"]]
    panels = json.loads(dashboard())["panels"]
    return [*found, *(target["expr"] for panel in panels for target in panel["targets"])]


def test_each_expression_names_metrics_of_the_code() -> None:
    for text in expressions():
        assert "holdfast_" in text
        assert list(unknown(text)) == []


def test_an_unknown_name_is_found() -> None:
    text = "holdfast_ready + holdfast_operation_seconds_bucket + holdfast_operation_seconds_total"

    assert list(unknown(text)) == ["holdfast_ready", "holdfast_operation_seconds_total"]
    with pytest.raises(KeyError):
        expression("{NO_METRIC} > 0")


def test_a_dashboard_shows_each_panel_in_a_place_of_its_own() -> None:
    panels = json.loads(dashboard())["panels"]
    places = {(one["gridPos"]["x"], one["gridPos"]["y"]) for one in panels}

    assert len(places) == len({one["id"] for one in panels}) == len(panels)


def test_labels_of_texts_are_those_of_metrics() -> None:
    known = {"service", "hostname", *(label for one in METRICS.values() for label in one.labels)}
    for alert in ALERTS:
        words = alert.summary.replace("}}", " ").split("$labels.")[1:]
        assert {word.split()[0] for word in words} <= known
