# SPDX-License-Identifier: Apache-2.0
"""A record that is imported describes its own backup, whatever else it names."""

from __future__ import annotations

import base64
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.interface.errors import BackupDriverException
from flows.backup import record
from tests.backups import posix, scribble
from tests.length import examples
from tests.unit.flows.world.installation import DRIVER, Installation, url

ARGS: dict[str, Any] = {"backup_service": DRIVER, "backup_hosts": []}

OURS = {
    "service": DRIVER,
    "host": "node",
    "availability_zone": "nova",
    "temp_volume_id": None,
    "temp_snapshot_id": None,
    "restore_volume_id": None,
    "num_dependent_backups": 0,
    "project_id": "p",
    "deleted": False,
}
"""Columns of an imported backup that no record changes."""


class Store(Installation):
    """An installation with a real store."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.driver = posix(directory)

    def import_record(self, backup: Any, driver_info: Any) -> None:
        self.driver.import_record(backup, driver_info)

    def delete_backup(self, backup: Any) -> None:
        self.driver.delete_backup(backup)

    def imported(self, backup: str, told: str) -> Any:
        self.run(record.import_, backup_id=backup, backup_url=told, **ARGS)
        return self.records.backups.get(backup)


@pytest.fixture
def here(tmp_path: Path) -> Store:
    return Store(tmp_path)


def own(backup: str, **facts: Any) -> dict[str, Any]:
    return {"service_metadata": f"volume_x_backup_{backup}", **facts}


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "volume_",
        "volume_{other}",
        "x_backup_{other}",
        "{id}_backup_{other}",
        "{id}-00001",
        "x{id}",
        "../{id}",
        "/{id}",
        "a\n_{id}",
    ],
)
def test_a_prefix_that_is_not_its_own_is_refused(here: Store, prefix: str) -> None:
    backup, other = here.backup("creating"), here.backup()
    told = prefix.format(id=backup, other=other)
    row = here.imported(backup, url(here, backup, service_metadata=told))

    assert (row.status, row.service_metadata, row.container) == ("error", None, None)


def test_foreign_objects_stay_when_it_is_deleted(here: Store, tmp_path: Path) -> None:
    """Sixty-eight files of other backups went with one."""
    place = tmp_path / "store" / "c"
    place.mkdir()
    for number in range(68):
        (place / f"volume_{number}_backup_{number}-00001").touch()
    for prefix in ("v", "volume_", "volume_1", "volume_1_backup_1", "volume_1_backup_1-00001"):
        backup = here.backup("creating")
        row = here.imported(backup, url(here, backup, service_metadata=prefix))
        assert row.status == "error"
        # As a version without that rule has imported it.
        here.records.backups.update(backup, container="c", service_metadata=prefix)
        here.driver.delete_backup(here.records.backups.get(backup))

    assert len([*place.iterdir()]) == 68


@pytest.mark.parametrize(
    "wrong",
    [
        {"project_id": "other"},
        {"volume_id": "22222222-2222-2222-2222-222222222222"},
        {"status": "creating"},
        {"status": "deleting"},
        {"service": "another.store"},
    ],
    ids=str,
)
def test_a_foreign_parent_is_refused(here: Store, wrong: dict[str, Any]) -> None:
    volume = here.volume("available")
    parent = here.backup(**{"volume_id": volume, **wrong})
    backup = here.backup("creating", volume_id=volume)
    row = here.imported(backup, url(here, backup, **own(backup, parent_id=parent)))

    assert (row.status, row.parent_id) == ("error", None)
    assert "import it first" in row.fail_reason
    assert here.records.backups.dependants(parent) == []


@pytest.mark.parametrize("parent", ["gone", "itself", "no id"])
def test_a_parent_that_is_none_is_refused(here: Store, parent: str) -> None:
    volume = here.volume("available")
    backup, gone = here.backup("creating", volume_id=volume), here.backup(volume_id=volume)
    here.records.backups.destroy(gone)
    named = {"gone": gone, "itself": backup, "no id": "../1"}[parent]
    row = here.imported(backup, url(here, backup, **own(backup, parent_id=named)))

    assert (row.status, row.parent_id) == ("error", None)


def test_a_parent_counts_each_backup_that_builds_on_it_once(here: Store) -> None:
    volume = here.volume("available")
    parent = here.backup(volume_id=volume)
    backup = here.backup("creating", volume_id=volume)
    told = url(here, backup, **own(backup, parent_id=parent, num_dependent_backups=-5))
    count = lambda: here.records.backups.get(parent).num_dependent_backups  # noqa: E731
    for _ in range(2):
        row = here.imported(backup, told)
        assert (row.status, row.parent_id, row.num_dependent_backups) == ("available", parent, 0)
        assert count() == 1
    here.records.backups.destroy(backup)

    assert count() == 0


@pytest.mark.parametrize("number", [-1, 0, 2**31, 1.5, True, "1", None, [1], {}, float("inf")])
def test_a_size_that_is_none_is_refused(here: Store, number: Any) -> None:
    backup = here.backup("creating", size=3)
    row = here.imported(backup, url(here, backup, **own(backup, size=number)))

    assert (row.status, row.size) == ("error", 3)


@pytest.mark.parametrize("number", [-1, 2**31, True, "1", [], -(10**30)])
def test_a_negative_count_is_refused(here: Store, number: Any) -> None:
    backup = here.backup("creating")
    row = here.imported(backup, url(here, backup, **own(backup, object_count=number)))

    assert (row.status, row.object_count) == ("error", 0)


def test_a_foreign_snapshot_is_not_named(here: Store) -> None:
    volume, foreign = here.volume("available"), here.volume("available", project_id="other")
    backing_up = here.snapshot(foreign, "backing-up")
    backup = here.backup("creating", volume_id=volume)
    row = here.imported(backup, url(here, backup, **own(backup, snapshot_id=backing_up)))

    assert (row.status, row.snapshot_id) == ("available", None)
    assert here.status(backing_up, "snapshot") == "backing-up"


def test_an_own_snapshot_is_named(here: Store) -> None:
    volume = here.volume("available", project_id="p")
    snapshot = here.snapshot(volume, "available", project_id="p")
    backup = here.backup("creating", volume_id=volume)
    row = here.imported(backup, url(here, backup, **own(backup, snapshot_id=snapshot)))

    assert row.snapshot_id == snapshot


def test_a_row_that_is_used_again_forgets_its_former_operation(here: Store) -> None:
    foreign = here.volume("in-use", project_id="other")
    former = {"temp_volume_id": foreign, "temp_snapshot_id": foreign, "restore_volume_id": foreign}
    backup = here.backup("creating", num_dependent_backups=-3, **former)
    row = here.imported(backup, url(here, backup, **own(backup)))

    assert {name: row[name] for name in OURS} == OURS
    assert row.status == "available"


@pytest.mark.parametrize("status", ["available", "restoring", "error", "deleting"])
def test_a_message_does_not_import_over_a_backup_that_is_there(here: Store, status: str) -> None:
    backup = here.backup(status, container="mine", service_metadata="mine")
    here.imported(backup, url(here, backup, **own(backup, container="evil", size=9)))
    row = here.records.backups.get(backup)

    assert (row.status, row.container, row.service_metadata) == (status, "mine", "mine")
    assert row.size == 1


def test_the_part_of_a_driver_is_an_object(here: Store) -> None:
    for info in (["x"], "x", 7):
        backup = here.backup("creating")
        row = here.imported(backup, url(here, backup, **own(backup, driver_info=info)))
        assert row.status == "error"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_COLUMNS = st.sampled_from([*record.COLUMNS, "driver_info", "parent", "x"])


@settings(
    max_examples=examples(120),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(facts=st.dictionaries(_COLUMNS, _JSON, min_size=1, max_size=5))
def test_random_records_change_nothing_but_their_own_description(facts: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        here = Store(Path(directory))
        other = here.backup(container="c", service_metadata="x")
        before = dict(here.records.backups.get(other))
        backup = here.backup("creating")
        row = here.imported(backup, url(here, backup, **own(backup, **facts)))

        assert row.status in ("available", "error")
        assert row.id == backup
        if row.status == "available":
            assert {name: row[name] for name in OURS} == OURS
            assert row.service_metadata.endswith(backup)
            assert row.size > 0
        else:
            assert (row.container, row.service_metadata) == (None, None)
        assert dict(here.records.backups.get(other)) == before


def test_a_record_with_line_breaks_is_taken_as_cinder_does(here: Store) -> None:
    backup = here.backup("creating")
    text = url(here, backup, **own(backup))
    wrapped = base64.encodebytes(base64.b64decode(text)).decode()
    row = here.imported(backup, wrapped.replace("\n", "\r\n"))

    assert wrapped.count("\n") > 3
    assert row.status == "available"


@settings(max_examples=examples(120), deadline=None)
@given(text=st.binary(max_size=300) | st.text(max_size=300) | _JSON)
def test_random_texts_are_no_records(text: Any) -> None:
    told = base64.b64encode(text).decode() if isinstance(text, bytes) else text
    with tempfile.TemporaryDirectory() as directory:
        here = Store(Path(directory))
        backup = here.backup("creating")
        row = here.imported(backup, told)

        assert row.status == "error"


@pytest.mark.parametrize(
    "told",
    [
        "A" * (2**20 + 4),
        base64.b64encode(b"[" * 700_000).decode(),
        base64.b64encode(b'{"a":' * 100_000).decode(),
        base64.b64encode(b'{"size": ' + b"9" * 700_000 + b"}").decode(),
    ],
    ids=["long", "deep list", "deep object", "long number"],
)
def test_a_record_that_costs_much_is_refused(here: Store, told: str) -> None:
    backup = here.backup("creating")

    assert here.imported(backup, told).status == "error"


def test_a_whole_round_leaves_nothing(here: Store, tmp_path: Path) -> None:
    """The limits above still let a backup be exported, imported, verified and deleted."""
    volume = here.volume("available")
    data = tmp_path / "data"
    scribble(data, random.Random(3), 9000)
    backup = here.backup("creating", volume_id=volume)
    get = lambda: here.records.backups.get(backup)  # noqa: E731
    here.records.backups.update(backup, **here.driver.place(get()))
    with data.open("rb") as file:
        here.records.backups.update(backup, **here.driver.backup(get(), file))
    here.records.backups.update(backup, status="available")
    told = record.encode(get(), {})
    assert json.loads(base64.b64decode(told))["id"] == backup
    here.records.backups.update(backup, status="creating", container=None, service_metadata=None)
    assert here.imported(backup, told).status == "available"
    here.driver.verify(get())
    with pytest.raises(BackupDriverException):
        here.driver.import_record(get().replace(service_metadata="x"), {})
    here.driver.delete_backup(get())

    assert [*(tmp_path / "store").iterdir()] == []
