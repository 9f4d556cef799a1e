# SPDX-License-Identifier: Apache-2.0
"""Messages and output of the benchmarks, as far as they need no server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.backends import numbers
from bench.workload.blocking import Gate
from bench.workload.load import HOST, NODE, OPERATIONS, Sample, sections
from bench.workload.sides import Cinder

VOLUME, SNAPSHOT = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


@pytest.mark.parametrize("method", sorted(OPERATIONS))
def test_a_cast_names_the_resource_at_hand_only(method: str) -> None:
    sample = Sample.read(method)
    snapshot = OPERATIONS[method].kind == "Snapshot"
    resource = SNAPSHOT if snapshot else VOLUME
    text = json.dumps(sample.args(resource, VOLUME))

    assert sample.data["id"] not in text and resource in text
    assert not snapshot or (sample.data["volume_id"] not in text and VOLUME in text)
    assert "peerhost" not in text
    assert method == "create_snapshot" or f"{HOST}#" in text
    assert sample.context["project_id"] == sample.data["project_id"]


def test_a_cast_to_another_backend_names_its_host() -> None:
    text = json.dumps(Sample.read("create_volume").args(VOLUME, VOLUME, "noop7"))

    assert f"{NODE}@noop7#noop7" in text and f"{HOST}#" not in text


def test_the_configuration_of_several_backends_has_a_section_for_each() -> None:
    made = sections(Path("state"), "bus", "rows", "driver", None, ["noop", "noop1"])

    assert made["DEFAULT"]["enabled_backends"] == "noop,noop1"
    assert made["noop1"] == {"volume_driver": "driver", "volume_backend_name": "noop1"}
    assert numbers("1,4,16") == [1, 4, 16]


def test_an_environment_without_cinder_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run tox -e cinder --notest, or give --peer"):
        Cinder.find(str(tmp_path / "python"))


def test_a_gate_counts_those_that_came_since_it_was_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_BENCH_GATE", "restored at the end")
    gate = Gate(tmp_path / "gate")
    (tmp_path / "gate" / "arrived" / VOLUME).touch()
    gate.close()

    assert gate.arrived() == 0
