# SPDX-License-Identifier: Apache-2.0
"""A journal that is put back to an earlier state makes no ended operation touch anything.

A power cut takes back the last writes of the journal, a copy of the journal or of its
machine any number of them.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flows
from flows.claims import Claim
from flows.factories import Factory, parameters_of, path_of
from flows.lifecycle import Step
from flows.volume import revert
from tests.unit.flows.every_cast.cases import CASES, Case
from tests.unit.flows.every_cast.test_kill import Try, arranged, driver_methods, facts
from tests.unit.flows.world.world import World

BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
JOURNALS = pytest.mark.parametrize("gathers", [True, False], ids=["gathering", "at-once"])

ENDED = ("SUCCESS", "REVERTED", "FAILURE")

WITHOUT = {
    "flows.backup.orphaned:flow": "never journalled: the service starts it and reads the row",
    "flows.backup.record:export": "reads only",
    "flows.backup.reset:flow": "writes the status that an administrator wants, whatever it is",
    "flows.host.cleanup:flow": "looks at each row before it touches its resource",
    "flows.host.freeze:freeze": "no data: the service's row is written again",
    "flows.host.freeze:thaw": "no data: the service's row is written again",
    "flows.host.orphaned:flow": "looks at each row before it touches its resource",
    "flows.host.repair:flow": "never journalled: each repair is one transaction that compares rows",
    "flows.snapshot.connection:initialize": "no data: snapshots are connected for a backup only",
    "flows.snapshot.connection:remove_export": "no data: snapshots are connected for a backup only",
    "flows.snapshot.connection:terminate": "no data: snapshots are connected for a backup only",
    "flows.volume.connections.attachment:delete": "the attachment's id, which is gone afterwards",
    "flows.volume.connections.connection:initialize": "undone only without attachments",
    "flows.volume.connections.connection:remove_export": "repeated only without attachments",
    "flows.volume.connections.connection:terminate_flow": "repeated only without attachments",
    "flows.volume.connections.detach:detach": "an attachment's id, or repeated while detaching",
}
"""Flows whose first step claims nothing, and why their repetition harms no data."""


def factories() -> Iterator[Factory]:
    """Yield every flow factory."""
    for found in pkgutil.walk_packages(flows.__path__, "flows."):
        module = importlib.import_module(found.name)
        for name, value in inspect.getmembers(module, inspect.isfunction):
            returns = str(inspect.get_annotations(value).get("return"))
            if (
                returns.endswith("Flow")
                and not name.startswith("_")
                and value.__module__ == found.name
            ):
                yield value


def steps_of(factory: Factory) -> list[Step]:
    args = dict.fromkeys(parameters_of(factory))
    return [step for step, _data in factory(**args).iter_nodes()]


def test_every_flow_claims_its_resource_or_is_excepted() -> None:
    without = {path_of(one) for one in factories() if type(steps_of(one)[0]).claim is Step.claim}

    assert without == set(WITHOUT)


def ended(case: Case, directory: Path, gathers: bool) -> Iterator[Try]:
    """Yield the case when it has ended: undisturbed, and with each driver's method failing."""
    for broken in ("", *driver_methods(case, directory)):
        this = arranged(case, World(directory, gathers), broken)
        assert this.run() is not None
        this.world.driver.plan.clear()
        yield this


def touched(this: Try) -> list[str]:
    """Return the calls of the driver; a temporary snapshot that it did not delete goes later."""
    calls = [name for name in this.world.effects if name.startswith("driver.")]
    later = "driver.delete_snapshot" if this.case.factory is revert.flow else ""
    return [name for name in calls if name != later or this.broken != "delete_snapshot"]


def earlier(world: World) -> list[str]:
    """Return the states that the journal has had while the flow had not ended."""
    texts = dict.fromkeys(world.journal.texts)
    return [text for text in texts if json.loads(text)["flow"]["state"] not in ENDED]


@BY_NAME
@JOURNALS
def test_an_ended_cast_is_not_repeated(case: Case, gathers: bool, tmp_path: Path) -> None:
    for this in ended(case, tmp_path, gathers):
        world, alone = this.world, facts(this.world)
        objects = set(world.driver.objects)
        for text in earlier(world):
            world.journal.put_back(text)
            world.effects.clear()

            outcome = this.run(resumed=True)

            assert outcome is not None
            assert outcome.state in ("done", "failed")
            assert touched(this) == [], (this.broken, text)
            assert facts(world) == alone, (this.broken, text)
            assert this.broken or world.driver.objects == objects
            assert not world.db.work


def claim_of(case: Case, args: dict[str, Any]) -> Claim:
    claim = steps_of(case.factory)[0].claim(args)
    assert claim is not None
    return claim


AGAIN = [
    case
    for case in CASES
    if not (
        steps_of(case.factory)[0].claim({"volume_id": "v1", "snapshot_id": "s1", **case.args})
        or Claim("", "", ())
    ).unmarked
]


def row_of(world: World, claim: Claim) -> dict[str, Any]:
    tables: dict[str, Any] = {"volume": world.db.volumes, **world.db.groups}
    row: dict[str, Any] = tables[claim.kind].rows[claim.resource_id]
    return row


@pytest.mark.parametrize("case", AGAIN, ids=lambda case: case.name)
def test_an_ended_cast_leaves_a_later_one_of_its_kind_alone(case: Case, tmp_path: Path) -> None:
    """The later request has written the status, and its cast still waits."""
    for this in ended(case, tmp_path, gathers=False):
        world, claim = this.world, claim_of(case, this.args)
        row, during = row_of(world, claim), claim.statuses[0]
        first = steps_of(case.factory)[0].name
        for text in earlier(world):
            atoms = json.loads(text)["atoms"].values()
            if not any(
                a["name"] == first and a["state"] not in ("PENDING", "RUNNING") for a in atoms
            ):
                continue
            row[claim.column] = during
            world.journal.put_back(text)
            world.effects.clear()

            this.run(resumed=True)

            assert touched(this) == [], (this.broken, text)
            assert row[claim.column] == during, (this.broken, text)


@pytest.mark.parametrize("case", AGAIN, ids=lambda case: case.name)
def test_a_begun_later_cast_keeps_an_earlier_one_out(case: Case, tmp_path: Path) -> None:
    """The later operation has marked the resource; the earlier one has not begun in its journal."""
    for this in ended(case, tmp_path, gathers=False):
        world, claim = this.world, claim_of(case, this.args)
        row = row_of(world, claim)
        row[claim.column] = claim.statuses[0]
        work = {"volume": "Volume", "group": "Group", "consistencygroup": "ConsistencyGroup"}
        world.db.work[work[claim.kind], claim.resource_id] = 1 << 29
        world.journal.put_back(world.journal.texts[0])
        world.effects.clear()

        this.run(resumed=True)

        assert touched(this) == []
        assert row[claim.column] == claim.statuses[0]
