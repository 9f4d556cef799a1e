# SPDX-License-Identifier: Apache-2.0
"""The arguments of Cinder's drivers and the effect of their answers, without a backend."""

from __future__ import annotations

import datetime
import importlib.util
from typing import Any

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)


from drivers.interface import errors  # noqa: E402
from drivers.interface.group import VolumeGroupDriver  # noqa: E402
from drivers.interface.manage import VolumeManagementDriver  # noqa: E402
from drivers.interface.records import Record  # noqa: E402
from tests.conformance import cinders  # noqa: E402
from worker.rpc.request_context import RequestContext  # noqa: E402

NFS = "cinder.volume.drivers.nfs.NfsDriver"
RBD = "cinder.volume.drivers.rbd.RBDDriver"
ID, TYPE_ID, SNAPSHOT_ID = (f"{digit * 8}-1111-2222-3333-444444444444" for digit in "abc")


@pytest.fixture(scope="module")
def translation() -> Any:
    cinders.configuration(cinders.load(NFS), {})
    from drivers.cinder import runtime, translation

    runtime.begin()
    return translation


def record(**columns: Any) -> Record:
    """Return a volume's record as the worker makes it."""
    fields = {
        "id": ID,
        "_name_id": None,
        "name": f"volume-{ID}",
        "size": 3,
        "host": "h@b#p",
        "status": "creating",
        "created_at": datetime.datetime(2026, 1, 2, 3, 4, 5),
        "volume_type_id": TYPE_ID,
        "provider_location": None,
    }
    kind = Record("volume_type", {"id": TYPE_ID, "name": "gold", "extra_specs": {"a": "<is> True"}})
    asked: list[str] = []

    def told(name: str, value: Any) -> Any:
        return lambda: asked.append(name) or value

    attached = Record(
        "attachment", {"id": ID, "volume_id": ID, "connector": '{"host": "h"}', "mountpoint": "/v"}
    )
    loaders = {
        "volume_type": told("volume_type", kind),
        "glance_metadata": told("glance_metadata", {"image_id": 7}),
        "volume_attachment": told("volume_attachment", [attached]),
        "asked": lambda: asked,
    }
    return Record("volume", {**fields, **columns}, loaders)


class TestObjects:
    """Records become Cinder's own objects."""

    def test_a_volume_has_its_columns_and_names(self, translation: Any) -> None:
        from cinder import objects

        volume = translation.cinders(record(_name_id=TYPE_ID))

        assert isinstance(volume, objects.Volume)
        assert (volume.size, volume["size"], volume.get("status")) == (3, 3, "creating")
        assert (volume.name_id, volume.name) == (TYPE_ID, f"volume-{TYPE_ID}")
        assert volume.created_at.isoformat() == "2026-01-02T03:04:05+00:00"
        assert volume.use_quota is True
        assert volume.obj_what_changed() == set()

    def test_relations_are_fetched_from_the_record_when_they_are_read(
        self, translation: Any
    ) -> None:
        given = record()
        volume = translation.cinders(given)
        assert given.asked == []

        assert volume.volume_type.extra_specs == {"a": "<is> True"}
        assert volume.volume_type.name == "gold"
        assert volume.volume_glance_metadata[0].value == "7"
        [attachment] = volume.volume_attachment
        assert (attachment.connector, attachment.mountpoint) == ({"host": "h"}, "/v")
        assert attachment.volume is not volume
        assert attachment.volume.size == 3
        assert set(given.asked) == {"volume_type", "glance_metadata", "volume_attachment"}

    def test_a_snapshot_knows_its_volume(self, translation: Any) -> None:
        fields = {"id": SNAPSHOT_ID, "volume_id": ID, "volume": record(), "metadata": {"a": 1}}
        snapshot = translation.cinders(Record("snapshot", {**fields, "volume_size": 3}))

        assert (snapshot.name, snapshot.volume_name) == (f"snapshot-{SNAPSHOT_ID}", f"volume-{ID}")
        assert (snapshot.volume.size, snapshot.metadata) == (3, {"a": "1"})

    def test_groups_and_their_snapshots_know_their_members(self, translation: Any) -> None:
        group = Record(
            "group",
            {
                "id": ID,
                "user_id": "u",
                "project_id": "p",
                "group_type_id": TYPE_ID,
                "status": "creating",
                "volume_type_ids": [TYPE_ID],
                "volumes": [record()],
                "volume_types": [],
            },
        )
        fields = {"id": SNAPSHOT_ID, "group_id": ID, "group": group, "snapshots": []}
        snapshot = translation.cinders(Record("group_snapshot", fields))

        assert [volume.id for volume in snapshot.group.volumes] == [ID]
        assert snapshot.group.volume_type_ids == [TYPE_ID]
        assert list(snapshot.snapshots) == []

    def test_a_copy_can_be_made_of_an_object(self, translation: Any) -> None:
        import copy

        assert copy.deepcopy(translation.cinders(record())).size == 3


class TestContext:
    """Our requests become Cinder's contexts."""

    def test_it_is_the_same_user_request_and_project(self, translation: Any) -> None:
        ours = RequestContext.from_wire(
            {"user_id": "u", "project_id": "p", "roles": ["member"], "request_id": "req-1"}
        )
        theirs = translation.context(ours)

        assert (theirs.user_id, theirs.project_id, theirs.request_id) == ("u", "p", "req-1")
        assert (theirs.roles, theirs.is_admin) == (["member"], False)
        assert translation.context(ours.elevated()).is_admin is True

    def test_without_one_it_is_the_requests_on_which_the_thread_works(
        self, translation: Any
    ) -> None:
        from oslo_context import context as oslo_context

        assert translation.context().is_admin is True
        assert oslo_context.get_current() is None
        ours = RequestContext.from_wire({"user_id": "u", "request_id": "req-2"})
        with ours.bound():
            theirs = translation.cinders(record())._context
            assert oslo_context.get_current() is ours

        assert (theirs.user_id, theirs.request_id, theirs.is_admin) == ("u", "req-2", True)


class TestUpdate:
    """The columns of a volume that are written after a call."""

    @pytest.mark.parametrize(
        ("change", "answer", "wanted"),
        [
            pytest.param({}, None, None, id="nothing"),
            pytest.param({}, {"provider_id": "x"}, {"provider_id": "x"}, id="returned"),
            pytest.param({"provider_id": "y"}, None, {"provider_id": "y"}, id="only-set"),
            pytest.param(
                {"provider_id": "y"}, {"provider_id": "x"}, {"provider_id": "x"}, id="both"
            ),
            pytest.param({"size": 9}, {"size": 3, "host": "h@b#p"}, None, id="not-its-columns"),
            pytest.param({}, "rubbish", "rubbish", id="rubbish-is-the-workers-to-refuse"),
        ],
    )
    def test_it_is_what_was_returned_or_only_set(
        self, translation: Any, change: dict[str, Any], answer: Any, wanted: Any
    ) -> None:
        from drivers.cinder.adapter import update

        given = translation.cinders(record())
        given.update(change)

        assert update(record(), given, answer) == wanted

    def test_what_is_saved_counts_as_well(
        self, translation: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from cinder.db import api

        written: list[Any] = []
        monkeypatch.setattr(api, "volume_update", lambda *args: written.append(args[2]))
        given = translation.cinders(record())
        given.provider_location = "there"
        given.save()

        assert written == [{"provider_location": "there"}]
        assert given.obj_what_changed() == set()
        assert translation.changes(given) == {"provider_location": "there"}


class TestErrors:
    """Cinder's exceptions by name, with their text."""

    @pytest.mark.parametrize(
        ("name", "arguments", "wanted", "text"),
        [
            ("VolumeIsBusy", {"volume_name": "v"}, errors.VolumeIsBusy, "v"),
            ("SnapshotIsBusy", {"snapshot_name": "s"}, errors.SnapshotIsBusy, "s"),
            ("InvalidInput", {"reason": "why"}, errors.InvalidInput, "why"),
            (
                "ManageExistingInvalidReference",
                {"existing_ref": "r", "reason": "why"},
                errors.ManageExistingInvalidReference,
                "why",
            ),
            (
                "ImageUnacceptable",
                {"image_id": "i", "reason": "why"},
                errors.ImageUnacceptable,
                "why",
            ),
            (
                "NfsException",
                {"message": "no share"},
                errors.VolumeDriverException,
                "NfsException: no share",
            ),
        ],
    )
    def test_they_are_ours(
        self, translation: Any, name: str, arguments: Any, wanted: Any, text: str
    ) -> None:
        from cinder import exception

        from drivers.cinder.error_translation import translated

        with pytest.raises(wanted, match=text), translated():
            raise getattr(exception, name)(**arguments)


class TestAnnounced:
    """A driver announces the methods that its class defines."""

    @pytest.mark.parametrize(
        ("method", "nfs", "rbd"),
        [
            ("create_cloned_volume", True, True),
            ("clone_image", False, True),
            ("retype", False, True),
            ("manage_existing", False, True),
            ("get_backup_device", False, True),
            ("create_export_snapshot", False, False),
            ("create_volume_from_backup", False, False),
            ("copy_image_to_volume", True, True),
        ],
    )
    def test_nothing_that_all_drivers_of_cinder_have(
        self, method: str, nfs: bool, rbd: bool
    ) -> None:
        found = [method in vars(cinders.load(path)) for path in (NFS, RBD)]

        assert found == [nfs, rbd]

    def test_families_are_announced_as_a_whole(self) -> None:
        assert issubclass(cinders.load(RBD), VolumeManagementDriver)
        assert not issubclass(cinders.load(NFS), VolumeManagementDriver)
        storwize = "cinder.volume.drivers.ibm.storwize_svc.storwize_svc_iscsi"
        assert issubclass(cinders.load(f"{storwize}.StorwizeSVCISCSIDriver"), VolumeGroupDriver)

    def test_every_driver_of_the_release_can_be_loaded(self) -> None:
        import pkgutil

        from cinder import interface
        from cinder.volume import drivers

        for module in pkgutil.walk_packages(drivers.__path__, f"{drivers.__name__}."):
            importlib.import_module(module.name)
        found = [f"{one.__module__}.{one.__name__}" for one in interface._volume_register]

        assert len(found) > 90
        for path in found:
            assert cinders.load(path).__abstractmethods__ == frozenset(), path

    def test_a_driver_that_has_moved_is_found(self) -> None:
        moved = "cinder.volume.drivers.zadara.ZadaraVPSAISCSIDriver"

        assert cinders.load(moved).__name__ == "ZadaraVPSAISCSIDriver"
