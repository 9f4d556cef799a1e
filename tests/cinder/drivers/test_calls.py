# SPDX-License-Identifier: Apache-2.0
"""Each call of the worker, as a driver of Cinder's sees it: a driver that writes down."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from oslo_utils import importutils  # noqa: E402

from drivers.cinder import interrupted  # noqa: E402
from drivers.interface import errors  # noqa: E402
from drivers.interface.records import Record  # noqa: E402
from tests.conformance import cinders  # noqa: E402
from worker.rpc.request_context import RequestContext  # noqa: E402

ID, OTHER, THIRD = (f"{digit * 8}-1111-2222-3333-444444444444" for digit in "abc")
REQUEST = RequestContext.from_wire({"user_id": "u", "project_id": "p", "request_id": "req-1"})

VOLUME = Record("volume", {"id": ID, "size": 1, "provider_location": None, "metadata": {}})
COPY = Record("volume", {"id": OTHER, "size": 2})
SNAPSHOT = Record("snapshot", {"id": THIRD, "volume_id": ID, "volume_size": 1, "volume": VOLUME})
GROUP = Record(
    "group",
    {"id": ID, "user_id": "u", "project_id": "p", "group_type_id": OTHER, "status": "creating"},
)
GROUP_SNAPSHOT = Record("group_snapshot", {"id": OTHER, "group_id": ID, "group": GROUP})
KIND = Record("volume_type", {"id": OTHER, "name": "gold", "extra_specs": {"a": "b"}})
BACKUP = Record("backup", {"id": ID, "volume_id": ID, "size": 1, "service": "posix"})

HOST, REFERENCE = {"host": "h@b", "capabilities": {}}, {"source-name": "x"}
PAGE = ("marker", 10, 0, ["size"], ["asc"])


@pytest.fixture(scope="module")
def adapted() -> Any:
    """A driver of ours around one that has every method that Cinder knows."""
    cinders.load("cinder.volume.drivers.nfs.NfsDriver")
    from cinder.volume import driver as base

    from drivers.cinder import features
    from drivers.cinder.adapter import CinderDriver
    from drivers.cinder.optional import groups, manage, replication, single_methods

    names = {"get_filter_function", "get_goodness_function"}
    names |= {*groups.GENERIC, *groups.CONSISTENT, *replication.METHODS}
    for offer in (*features._OFFERS, manage.ManageVolumes, manage.ManageSnapshots, CinderDriver):
        names |= {name for name in vars(offer) if not name.startswith("_")}
    assert single_methods.CopyingCinderDriver in features._OFFERS

    def noting(name: str) -> Any:
        def method(self: Any, *args: Any, **named: Any) -> Any:
            self.calls.append((name, args, named))
            answer = self.answers.get(name)
            if isinstance(answer, Exception):
                raise answer
            return answer(*args) if callable(answer) else answer

        return method

    body = {name: noting(name) for name in names - {"cinders", "do_setup"}}
    return features.adapted(type("Noting", (base.VolumeDriver,), body))


@pytest.fixture
def driver(adapted: Any) -> Any:
    made = adapted(SimpleNamespace(safe_get=lambda _name: None), host="h@b")
    made._made = object.__new__(adapted.cinders)
    made._made.calls, made._made.answers = [], {}
    return made


def seen(driver: Any) -> tuple[str, list[Any], dict[str, Any]]:
    """Return the last call, its objects by their kind and id."""

    def shown(value: Any) -> Any:
        if isinstance(value, list):
            return [shown(one) for one in value]
        if hasattr(value, "obj_name"):
            return (value.obj_name(), value.id)
        return "context" if hasattr(value, "elevated") else value

    name, args, named = driver._made.calls[-1]
    return name, shown(list(args)), {key: shown(value) for key, value in named.items()}


V, C, S = ("Volume", ID), ("Volume", OTHER), ("Snapshot", THIRD)
G, GS = ("Group", ID), ("GroupSnapshot", OTHER)
R = "context"


@pytest.mark.parametrize(
    ("method", "given", "wanted"),
    [
        ("create_volume", (VOLUME,), [V]),
        ("create_snapshot", (SNAPSHOT,), [S]),
        ("delete_snapshot", (SNAPSHOT,), [S]),
        ("create_volume_from_snapshot", (COPY, SNAPSHOT), [C, S]),
        ("create_cloned_volume", (COPY, VOLUME), [C, V]),
        ("extend_volume", (VOLUME, 3), [V, 3]),
        ("validate_connector", ({"host": "h"},), [{"host": "h"}]),
        ("create_export", (REQUEST, VOLUME, {"host": "h"}), [R, V, {"host": "h"}]),
        ("create_export", (REQUEST, VOLUME, None), [R, V, None]),
        ("ensure_export", (REQUEST, VOLUME), [R, V]),
        ("remove_export", (REQUEST, VOLUME), [R, V]),
        ("create_export_snapshot", (REQUEST, SNAPSHOT, {"a": 1}), [R, S, {"a": 1}]),
        ("remove_export_snapshot", (REQUEST, SNAPSHOT), [R, S]),
        ("revert_to_snapshot", (REQUEST, VOLUME, SNAPSHOT), [R, V, S]),
        ("create_volume_from_backup", (VOLUME, BACKUP), [V, ("Backup", ID)]),
        ("clear_download", (REQUEST, VOLUME), [R, V]),
        ("accept_transfer", (REQUEST, VOLUME, "u2", "p2"), [R, V, "u2", "p2"]),
        ("migrate_volume", (REQUEST, VOLUME, HOST), [R, V, HOST]),
        ("freeze_backend", (REQUEST,), [R]),
        ("thaw_backend", (REQUEST,), [R]),
        ("failover_host", (REQUEST, [VOLUME], "b", [GROUP]), [R, [V], "b", [G]]),
        ("failover", (REQUEST, [VOLUME], "b", [GROUP]), [R, [V], "b", [G]]),
        ("failover_completed", (REQUEST, "b"), [R, "b"]),
        ("enable_replication", (REQUEST, GROUP, [VOLUME]), [R, G, [V]]),
        ("disable_replication", (REQUEST, GROUP, [VOLUME]), [R, G, [V]]),
        ("failover_replication", (REQUEST, GROUP, [VOLUME], "b"), [R, G, [V], "b"]),
        ("get_replication_error_status", (REQUEST, [GROUP]), [R, [G]]),
        ("update_migrated_volume", (REQUEST, VOLUME, COPY, "available"), [R, V, C, "available"]),
        ("get_pool", (VOLUME,), [V]),
        ("manage_existing", (VOLUME, REFERENCE), [V, REFERENCE]),
        ("unmanage", (VOLUME,), [V]),
        ("get_manageable_volumes", ([VOLUME], *PAGE), [[V], *PAGE]),
        ("manage_existing_snapshot", (SNAPSHOT, REFERENCE), [S, REFERENCE]),
        ("unmanage_snapshot", (SNAPSHOT,), [S]),
        ("get_manageable_snapshots", ([SNAPSHOT], *PAGE), [[S], *PAGE]),
        ("create_group", (REQUEST, GROUP), [R, G]),
        ("delete_group", (REQUEST, GROUP, [VOLUME]), [R, G, [V]]),
        ("update_group", (REQUEST, GROUP, [VOLUME], None), [R, G, [V], None]),
        ("create_group_snapshot", (REQUEST, GROUP_SNAPSHOT, [SNAPSHOT]), [R, GS, [S]]),
        (
            "create_group_from_src",
            (REQUEST, GROUP, [COPY], GROUP_SNAPSHOT, [SNAPSHOT], None, None),
            [R, G, [C], GS, [S], None, None],
        ),
    ],
)
def test_records_arrive_as_cinders_objects(
    driver: Any, method: str, given: Any, wanted: list[Any]
) -> None:
    getattr(driver, method)(*given)

    assert seen(driver)[:2] == (method, wanted)


def test_attachments_are_no_subject_of_cinders_drivers() -> None:
    """Cinder 29 calls neither method; the interface has them for other drivers."""
    cinders.load("cinder.volume.drivers.nfs.NfsDriver")
    from cinder.volume import driver as base
    from cinder.volume import manager

    from drivers.cinder import features

    def never(*_: Any) -> None:
        raise AssertionError

    body = {"attach_volume": never, "detach_volume": never}
    adapted = features.adapted(type("Old", (base.VolumeDriver,), body))
    made = adapted(SimpleNamespace(safe_get=lambda _name: None), host="h@b")

    made.attach_volume(REQUEST, VOLUME, None, "h", "/dev/v")
    made.detach_volume(REQUEST, VOLUME, None)

    assert "driver.attach_volume" not in inspect.getsource(manager)
    assert "driver.detach_volume" not in inspect.getsource(manager)


@pytest.mark.parametrize("method", ["terminate_connection", "terminate_connection_snapshot"])
def test_whether_a_detach_is_forced_is_told(driver: Any, method: str) -> None:
    record = SNAPSHOT if method.endswith("snapshot") else VOLUME
    getattr(driver, method)(record, None, force=True)

    assert seen(driver)[2] == {"force": True}


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (True, (True, None)),
        (False, (False, None)),
        ((True, {"provider_id": "x"}), (True, {"provider_id": "x"})),
        ((False, None), (False, None)),
    ],
)
def test_retype_answers_alike_whatever_the_form(driver: Any, answer: Any, wanted: Any) -> None:
    driver._made.answers["retype"] = answer
    told = driver.retype(REQUEST, VOLUME, KIND, {"extra_specs": {}}, HOST)

    assert told == wanted
    assert seen(driver)[1][2]["extra_specs"] == {"a": "b"}


def test_an_image_is_cloned_with_cinders_order_of_arguments(driver: Any) -> None:
    driver._made.answers["clone_image"] = ({"provider_id": "x"}, True)
    image = {"id": "i", "properties": {"a": "b"}}

    assert driver.clone_image(REQUEST, VOLUME, ("rbd://x", None), image, None) == (
        {"provider_id": "x"},
        True,
    )
    assert seen(driver)[1][:4] == [R, V, ("rbd://x", None), image]


@pytest.mark.parametrize(
    ("key", "properties", "method"),
    [
        (None, {}, "copy_image_to_volume"),
        (ID, {}, "copy_image_to_encrypted_volume"),
        (ID, {"cinder_encryption_key_id": ID}, "copy_image_to_volume"),  # it is encrypted already
    ],
)
def test_an_encrypted_volume_is_written_through_its_encryption(
    driver: Any,
    key: str | None,
    properties: dict[str, str],
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    known = {"id": "i", "properties": properties}
    images = SimpleNamespace(show=lambda request, _image: asked.append(request) or known)

    def copy(_context: Any, _volume: Any, service: Any, image: str, disable_sparse: bool) -> None:
        assert service.show("cinder's context", image) == known
        assert (service.temp_images, disable_sparse) == (None, True)

    monkeypatch.setattr(type(driver._made), method, staticmethod(copy), raising=False)
    volume = VOLUME.replace(encryption_key_id=key)
    driver.copy_image_to_volume(REQUEST, volume, images, "i", disable_sparse=True)

    assert asked == [REQUEST, REQUEST]


@pytest.mark.parametrize(
    "image", [{"disk_format": "vhd"}, {"disk_format": "ploop"}, {"container_format": "compressed"}]
)
def test_an_image_that_cinders_code_cannot_write_is_left_to_the_worker(
    driver: Any, image: dict[str, str]
) -> None:
    images = SimpleNamespace(show=lambda *_: image)

    with pytest.raises(NotImplementedError):
        driver.copy_image_to_volume(REQUEST, VOLUME, images, "i")


@pytest.mark.parametrize("code", [None, 413])
def test_an_upload_by_cinders_code_names_its_store_and_its_first_image(
    driver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    from cinder.volume import volume_utils

    sent: list[Any] = []

    def update(request: Any, image: str, _meta: Any, data: Any, **placement: Any) -> None:
        sent.append((request, image, data.read(), placement))
        if code is not None:
            raise errors.ImageLimitExceeded(f"Glance refused it: {code}")

    def copy(context: Any, volume: Any, service: Any, image: Any) -> None:
        path = tmp_path / "volume"
        path.write_bytes(b"data")
        volume_utils.upload_volume(context, service, image, str(path), volume, run_as_root=False)

    monkeypatch.setattr(
        type(driver._made), "copy_volume_to_image", staticmethod(copy), raising=False
    )
    kind = Record("volume_type", {**KIND, "extra_specs": {"image_service:store_id": "fast"}})
    known = {"volume_type": lambda: kind, "glance_metadata": lambda: {"image_id": "i0"}}
    volume = Record("volume", {"id": ID, "size": 1, "volume_type_id": kind.id}, known)
    images = SimpleNamespace(update=update)
    refused = pytest.raises(errors.ImageLimitExceeded) if code else contextlib.nullcontext()
    with refused:
        driver.copy_volume_to_image(REQUEST, volume, images, {"id": "i1", "disk_format": "raw"})

    assert sent == [(REQUEST, "i1", b"data", {"store_id": "fast", "base_image_ref": "i0"})]


def test_what_a_driver_only_sets_is_written(driver: Any) -> None:
    driver._made.answers["create_volume"] = lambda volume: setattr(
        volume, "provider_location", "there"
    )

    assert driver.create_volume(VOLUME) == {"provider_location": "there"}


def test_the_rest_of_a_failed_creation_is_found_by_what_was_set(
    driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cinder import objects

    def fail(volume: Any) -> None:
        volume.provider_location = "there"
        raise OSError("full")

    monkeypatch.setattr(objects.SnapshotList, "get_all_for_volume", lambda *_: [])
    driver._made.answers["create_volume"] = fail
    with pytest.raises(errors.VolumeBackendAPIException, match="OSError: full"):
        driver.create_volume(VOLUME)
    driver.delete_volume(VOLUME)
    first = driver._made.calls[-1][1][0].provider_location
    driver.delete_volume(VOLUME)

    assert (first, driver._made.calls[-1][1][0].provider_location) == ("there", None)


def test_a_volume_with_snapshots_is_not_deleted(
    driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cinder import objects

    monkeypatch.setattr(objects.SnapshotList, "get_all_for_volume", lambda *_: [SNAPSHOT])
    with pytest.raises(errors.VolumeIsBusy, match="has 1 snapshot"):
        driver.delete_volume(VOLUME)

    assert driver._made.calls == []


@pytest.mark.parametrize("kind", ["volume", "snapshot"])
def test_absence_is_success(driver: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from cinder import exception, objects

    monkeypatch.setattr(objects.SnapshotList, "get_all_for_volume", lambda *_: [])
    gone = {
        "volume": exception.VolumeNotFound(volume_id=ID),
        "snapshot": exception.SnapshotNotFound(snapshot_id=ID),
    }
    driver._made.answers[f"delete_{kind}"] = gone[kind]

    assert getattr(driver, f"delete_{kind}")({"volume": VOLUME, "snapshot": SNAPSHOT}[kind]) is None


def test_statistics_are_a_copy_and_have_the_functions_for_a_scheduler(driver: Any) -> None:
    kept = {"pools": [{"pool_name": "a"}]}
    driver._made.answers |= {
        "get_volume_stats": lambda *_: kept,
        "get_filter_function": "a < 1",
    }
    # By name: the driver's method takes it so.
    told = driver.get_volume_stats(refresh=True)
    told["pools"][0]["pool_name"] = "b"

    assert kept == {"pools": [{"pool_name": "a"}]}
    assert told["filter_function"] == "a < 1"
    assert driver._made.calls[0][2] == {"refresh": True}


def test_what_a_backup_reads_comes_as_a_record(driver: Any) -> None:
    from drivers.cinder.translation import cinders as turned

    driver._made.answers["get_backup_device"] = lambda *_: (turned(SNAPSHOT), True)
    found, is_snapshot = driver.get_backup_device(REQUEST, BACKUP)

    assert (found.kind, found.id, is_snapshot) == ("snapshot", THIRD, True)


@pytest.fixture
def cleaned(driver: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Kind and id of each resource whose lock files the driver was to remove."""
    from cinder import objects

    found: list[tuple[str, str]] = []
    for kind in ("volume", "snapshot"):
        hook = classmethod(lambda _class, which, kind=kind: found.append((kind, which)))
        monkeypatch.setattr(type(driver._made), f"clean_{kind}_file_locks", hook)
    monkeypatch.setattr(objects.SnapshotList, "get_all_for_volume", lambda *_: [])
    return found


@pytest.mark.parametrize(
    ("method", "record"),
    [
        *(("delete_volume", VOLUME), ("unmanage", VOLUME)),
        *(("delete_snapshot", SNAPSHOT), ("unmanage_snapshot", SNAPSHOT)),
    ],
)
def test_lock_files_of_a_deleted_object_are_removed(
    driver: Any, cleaned: list[tuple[str, str]], method: str, record: Record
) -> None:
    getattr(driver, method)(record)

    assert cleaned == [(record.kind, record.id)]


def test_lock_files_of_a_busy_object_stay(driver: Any, cleaned: list[tuple[str, str]]) -> None:
    from cinder import exception

    driver._made.answers = {
        "delete_volume": exception.VolumeIsBusy(volume_name="v"),
        "delete_snapshot": exception.SnapshotIsBusy(snapshot_name="s"),
    }
    with pytest.raises(errors.VolumeIsBusy):
        driver.delete_volume(VOLUME)
    with pytest.raises(errors.SnapshotIsBusy):
        driver.delete_snapshot(SNAPSHOT)

    assert cleaned == []


def test_lock_files_of_a_missing_source_are_removed(
    driver: Any, cleaned: list[tuple[str, str]]
) -> None:
    from cinder import exception

    driver._made.answers = {
        "create_volume_from_snapshot": exception.SnapshotNotFound(snapshot_id=THIRD),
        "create_cloned_volume": exception.VolumeNotFound(volume_id=ID),
    }
    for method, source in (
        ("create_volume_from_snapshot", SNAPSHOT),
        ("create_cloned_volume", VOLUME),
    ):
        with pytest.raises(errors.VolumeBackendAPIException):
            getattr(driver, method)(COPY, source)

    assert cleaned == [("snapshot", THIRD), ("volume", ID)]


def test_a_failing_removal_of_lock_files_fails_nothing(
    driver: Any, cleaned: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = classmethod(lambda *_: {}["x"])
    monkeypatch.setattr(type(driver._made), "clean_snapshot_file_locks", broken)

    driver.delete_snapshot(SNAPSHOT)


def test_properties_of_a_vendor_are_described(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.backends import properties

    base, iops = type(driver._made), {"title": "t", "description": "d", "type": "integer"}
    owned = {"acme_x:iops": iops, "other:iops": iops}
    monkeypatch.setattr(base, "_init_vendor_properties", lambda _self: (owned, "acme:x"))
    monkeypatch.delattr(base, "init_capabilities")
    driver._made.answers["get_volume_stats"] = {"vendor_name": "Acme"}
    found = properties.of(driver, lambda *_: None)

    assert (found["vendor_prefix"], found["properties"]["acme_x:iops"]) == ("acme_x", iops)
    assert set(found["properties"]) == {*properties.STANDARD, "acme_x:iops"}


LVM = "cinder.volume.drivers.lvm.LVMVolumeDriver"


class Group:
    """A volume group, by the calls that are used."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def get_volume(self, name: str) -> dict[str, str] | None:
        return {"name": name} if name in self.names else None

    def delete(self, name: str) -> None:
        self.names.remove(name)


def test_the_snapshot_of_a_clone_that_was_killed_goes_with_the_clone() -> None:
    cinders.load(LVM)
    driver = object.__new__(importutils.import_class(LVM))
    driver.vg = Group("clone-snap-1", "clone-snap-2", "volume-3")
    volume = SimpleNamespace(id="1", name="volume-1")
    interrupted.clear(driver, volume)
    interrupted.clear(driver, volume)

    assert driver.vg.names == {"clone-snap-2", "volume-3"}


class _Shy(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def test_an_error_that_cannot_be_shown_is_the_drivers_all_the_same(driver: Any) -> None:
    driver._made.answers["extend_volume"] = _Shy()
    with pytest.raises(errors.VolumeBackendAPIException, match="_Shy: its text cannot be shown"):
        driver.extend_volume(VOLUME, 2)


@pytest.mark.parametrize("empty", [False, [], {}, ""])
def test_any_empty_answer_is_no_update(driver: Any, empty: Any) -> None:
    driver._made.answers["create_volume"] = empty

    assert driver.create_volume(VOLUME) is None


def test_names_that_are_no_columns_are_left_out_as_by_cinders_objects(driver: Any) -> None:
    answer = {"provider_id": "x", "lun_type": "thin", "vendor": {1}, 7: "x"}
    driver._made.answers |= {"create_volume": answer, "create_snapshot": answer}

    assert driver.create_volume(VOLUME) == {"provider_id": "x"}
    assert driver.create_snapshot(SNAPSHOT) == {"provider_id": "x"}


def test_what_a_retype_only_sets_is_written(driver: Any) -> None:
    def retype(_context: Any, volume: Any, *_: Any) -> bool:
        volume.provider_id = "new"
        return True

    driver._made.answers["retype"] = retype

    update = driver.retype(REQUEST, VOLUME, KIND, {"extra_specs": {}}, HOST)
    assert update == (True, {"provider_id": "new"})
