# SPDX-License-Identifier: Apache-2.0
"""Objects that drivers of Cinder are given, beside those that Cinder loads itself.

Whole graphs are compared: the relations that are loaded at first, the content of each relation
after it was read, and the identity of objects that occur twice.
"""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from drivers.interface.records import Record  # noqa: E402
from tests.cinder.drivers import places, rows  # noqa: E402
from tests.conformance import cinders  # noqa: E402

NFS = "cinder.volume.drivers.nfs.NfsDriver"

DEEP = 3
"""Relations of relations that are read."""

KINDS = {
    "volume": ("Volume", "volumes", rows.VOLUME),
    "snapshot": ("Snapshot", "snapshots", rows.SNAPSHOT),
    "group": ("Group", "groups", rows.GROUP),
    "group_snapshot": ("GroupSnapshot", "group_snapshots", rows.GROUP_SNAPSHOT),
    "consistencygroup": ("ConsistencyGroup", "consistencygroups", rows.OLD_GROUP),
    "cgsnapshot": ("CGSnapshot", "cgsnapshots", rows.OLD_SNAPSHOT),
    "backup": ("Backup", "backups", rows.BACKUP),
    "volume_type": ("VolumeType", "volume_types", rows.TYPE),
}
"""By kind Cinder's class, the table of ours, and the row."""

OURS_ONLY = "volume_type_ids"
"""Known in Cinder only while a group is created, though its drivers read it later as well."""


@pytest.fixture(scope="module")
def records() -> Any:
    """The rows, through our records; Cinder's own code reads them from the same database."""
    cinders.configuration(cinders.load(NFS), {})
    from cinder.db import api as db
    from cinder.db import models

    from drivers.cinder import runtime

    runtime.begin()
    models.BASE.metadata.create_all(db.get_engine())
    return cinders.Rows()._records


@pytest.fixture(autouse=True)
def fresh(records: Any) -> None:
    from cinder.db import api as db
    from cinder.db import models

    rows.insert(db.get_engine(), models.BASE.metadata)


def record(records: Any, kind: str) -> Record:
    _, table, which = KINDS[kind]
    found: Record = getattr(records, table).get(which)
    return found


def ours(records: Any, kind: str) -> Any:
    from drivers.cinder import translation

    return translation.cinders(record(records, kind))


def theirs(kind: str) -> Any:
    from cinder import context, objects

    name, _, which = KINDS[kind]
    return getattr(objects, name).get_by_id(context.get_admin_context(), which)


def graph(node: Any, depth: int, seen: dict[int, tuple[int, Any]]) -> Any:
    """Return an object and its relations as plain values; one that was met before as a number.

    :param depth: relations that are not loaded are read so deep; 0: none.
    """
    if isinstance(node, list):
        return [graph(one, depth, seen) for one in node]
    if not hasattr(node, "obj_name"):
        return node
    if id(node) in seen:
        return f"object {seen[id(node)][0]} again"
    seen[id(node)] = (len(seen), node)
    found: dict[str, Any] = {"": (seen[id(node)][0], node.obj_name(), node.obj_what_changed())}
    for name in sorted(node.fields):
        if node.obj_attr_is_set(name) or depth > 0:
            found[name] = graph(getattr(node, name), depth - 1, seen)
    return {name: value for name, value in found.items() if name != OURS_ONLY}


def test_the_default_type_stays_for_other_tests_of_the_process(records: Any) -> None:
    created = records.volumes.create(id=rows.SERVER, size=1, status="available")
    assert created.volume_type.name == "__DEFAULT__"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [0, DEEP], ids=["as-loaded", "read"])
def test_the_graph_is_that_of_cinder(records: Any, kind: str, depth: int) -> None:
    assert graph(ours(records, kind), depth, {}) == graph(theirs(kind), depth, {})


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_sent_and_copied_as_cinders(records: Any, kind: str) -> None:
    def sent(made: Any) -> Any:
        return made.obj_to_primitive()

    def plain(given: Any) -> Any:
        primitive = sent(given)
        primitive["versioned_object.data"].pop(OURS_ONLY, None)
        return primitive

    read, known = ours(records, kind), theirs(kind)
    graph(read, 2, {}), graph(known, 2, {})

    assert plain(ours(records, kind)) == plain(theirs(kind))
    assert plain(copy.deepcopy(ours(records, kind)))["versioned_object.name"] == known.obj_name()
    assert str(plain(read)).count("versioned_object.name") == str(plain(known)).count(
        "versioned_object.name"
    )


def test_members_of_a_list_have_the_relations_of_cinders_list(records: Any) -> None:
    from cinder import context, objects

    from drivers.cinder import translation

    request = context.get_admin_context()
    known = objects.VolumeList.get_all_by_generic_group(request, rows.GROUP)
    given = translation.listed(records.groups.members(rows.GROUP))

    assert graph(given, 0, {}) == graph(list(known), 0, {})


def test_nothing_is_fetched_before_a_driver_looks(records: Any) -> None:
    from drivers.cinder import translation

    asked: list[str] = []
    loaders = {
        name: (lambda name=name: asked.append(name))
        for name in ("volume_type", "volume_attachment", "glance_metadata")
    }
    row = record(records, "volume")
    given = translation.cinders(Record("volume", {n: row[n] for n in row.to_dict()}, loaders))
    given.provider_id = "x"

    assert translation.changes(given) == {"provider_id": "x"}
    assert (given.obj_what_changed(), asked) == ({"provider_id"}, [])
    assert list(given.get("volume_attachment", "not loaded")) == []
    assert asked == ["volume_attachment"]


@pytest.mark.parametrize("read", [(), ("volume_attachment",), ("snapshots", "group", "cluster")])
def test_a_driver_saves_whatever_it_has_read(records: Any, read: tuple[str, ...]) -> None:
    from drivers.cinder import translation

    given = ours(records, "volume")
    for name in read:
        graph(getattr(given, name), 2, {})
    given.provider_location = "elsewhere"
    given.admin_metadata["more"] = "1"
    given.save()

    assert translation.changes(given)["provider_location"] == "elsewhere"
    stored = theirs("volume")
    assert stored.provider_location == "elsewhere"
    assert stored.admin_metadata == {"am": "1", "more": "1"}


def test_saved_columns_are_known_after_a_refresh(records: Any) -> None:
    from drivers.cinder import translation

    given = ours(records, "volume")
    given.provider_id = "x"
    given.save()
    given.refresh()
    assert given.conditional_update({"provider_auth": "y"}, {"status": "in-use"})

    assert translation.changes(given) == {"provider_id": "x", "provider_auth": "y"}


def test_the_volume_of_an_attachment_is_the_row_or_else_the_record(records: Any) -> None:
    from drivers.cinder import translation

    row = record(records, "volume").replace(size=9)
    [attached] = row.volume_attachment
    temporary = row.replace(
        id=rows.SERVER, volume_attachment=[attached.replace(volume_id=rows.SERVER)]
    )
    [of_row], [of_none] = (translation.cinders(one).volume_attachment for one in (row, temporary))

    assert (of_row.volume.size, of_row.volume_host) == (3, "h@b#p")
    assert (of_none.volume.id, of_none.volume.size) == (rows.SERVER, 9)


@pytest.fixture
def share(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, records: Any
) -> Any:
    """Cinder's NFS driver, adapted, on a share of its own."""
    # Not the test's own directory: the driver does not count files below a path with "snapshot".
    with places.share(tmp_path_factory.mktemp("share")) as place:
        for name, value in place.environment.items():
            monkeypatch.setenv(name, value)
        driver = cinders.load(place.driver)
        made = driver(cinders.configuration(driver, place.options), host="h@b")
        made.do_setup(None)
        made.check_for_setup_error()
        yield made


def test_nfs_makes_a_snapshot_of_an_attached_volume(share: Any, records: Any) -> None:
    asked: list[dict[str, Any]] = []

    def by_nova(_request: Any, _volume_id: str, info: dict[str, Any]) -> None:
        asked.append(info)
        records.snapshots.update(rows.SNAPSHOT, progress="90%")

    records.volumes.update(rows.VOLUME, status="creating", provider_location=None)
    records.volumes.update(rows.VOLUME, **share.create_volume(record(records, "volume")))
    records.volumes.update(rows.VOLUME, status="in-use")
    records.snapshots.update(rows.SNAPSHOT, status="creating")
    share._made._nova = SimpleNamespace(create_volume_snapshot=by_nova)
    share.create_snapshot(record(records, "snapshot"))

    name = f"volume-{rows.VOLUME}.{rows.SNAPSHOT}"
    assert asked == [{"type": "qcow2", "new_file": name, "snapshot_id": rows.SNAPSHOT}]
    [information] = Path(share._made.configuration.nfs_mount_point_base).glob("*/*.info")
    assert name in information.read_text()
    [attachment] = theirs("volume").volume_attachment
    assert attachment.connection_info == {"name": name, "format": "qcow2"}


def test_a_row_without_numbers_has_zeros_as_in_cinder(records: Any) -> None:
    records.volumes.update(rows.VOLUME, size=None)
    records.backups.update(rows.BACKUP, size=None)

    assert ours(records, "volume").size == theirs("volume").size == 0
    assert ours(records, "backup").size == theirs("backup").size == 0
