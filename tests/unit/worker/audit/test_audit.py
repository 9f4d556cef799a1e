# SPDX-License-Identifier: Apache-2.0
"""Each kind of drift is found where it is, nowhere else, and never for work in progress."""

from __future__ import annotations

import random

from oslo_utils import timeutils

from flows.host.repair import REPAIRS
from flows.volume.delete import UNMANAGED
from tests.unit.worker.audit.seeds import SEEDS, strange_object
from tests.unit.worker.audit.world import Place
from worker.audit.every_kind import KINDS

KIND_NAMES = [kind.name for kind in KINDS]


def test_every_kind_has_a_seed() -> None:
    assert sorted(SEEDS) == sorted(KIND_NAMES)


def test_places_that_agree_have_no_drift(place: Place) -> None:
    place.healthy()
    report = place.audit()

    assert [one.drift.details for one in report.findings] == []
    assert report.counts() == dict.fromkeys(KIND_NAMES, 0)
    assert report.unable == {}


def test_a_campaign_of_seeded_drift(place: Place) -> None:
    chance = random.Random(3)
    place.healthy()
    names = [*KIND_NAMES, *chance.choices(KIND_NAMES, k=len(KIND_NAMES))]
    chance.shuffle(names)
    seeded = [(name, SEEDS[name](place)) for name in names]

    assert sorted(place.found()) == sorted(seeded)


def test_rows_that_a_flow_has_repaired_have_no_drift(place: Place) -> None:
    place.healthy()
    kinds = [kind.name for kind in KINDS if kind.repair in REPAIRS]
    seeded = [(name, SEEDS[name](place)) for name in kinds]
    findings = place.audit().findings
    repaired = [place.repair(one) for one in findings]
    again = [place.repair(one) for one in findings]

    assert len(findings) == len(seeded)
    assert set(repaired) == {True}
    assert place.found() == []
    assert set(again) == {False}


def test_only_objects_of_deleted_rows_can_be_repaired(place: Place) -> None:
    ours, strange = SEEDS["volume_object_unknown"](place), strange_object(place)
    found = {one.drift.resource_id: one.drift.repairable for one in place.audit().findings}

    assert found == {ours: True, strange: False}


def test_an_object_that_was_unmanaged_is_no_drift(place: Place) -> None:
    volume_id = SEEDS["volume_object_unknown"](place)
    known = {"volume_id": volume_id, "key": UNMANAGED, "value": "True", "deleted": True}
    place.tables.add("volume_admin_metadata", **known)
    snapshot = f"volume-{place.volume()}@snapshot-{volume_id}"
    place.file(f"unmanaged-{snapshot}", 1)

    assert place.found() == []


def test_an_operation_in_the_journal_is_no_drift(place: Place) -> None:
    place.operation(SEEDS["volume_object_unknown"](place))

    assert place.found() == []


def test_an_operation_that_begins_between_the_looks_is_no_drift(place: Place) -> None:
    volume_id = SEEDS["volume_object_unknown"](place)

    assert place.found(pause=lambda: place.operation(volume_id)) == []


def test_a_drift_that_goes_between_the_looks_is_none(place: Place) -> None:
    volume_id = SEEDS["volume_object_missing"](place)

    assert place.found(pause=lambda: place.file(f"volume-{volume_id}", 1)) == []


def test_a_row_that_was_just_written_is_no_drift(place: Place) -> None:
    volume_id = place.volume(data=False, updated_at=timeutils.utcnow())

    assert place.found() == []
    assert place.found(recent=0) == [("volume_object_missing", volume_id)]
