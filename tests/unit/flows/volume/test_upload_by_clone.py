# SPDX-License-Identifier: Apache-2.0
"""Images that are kept in clones of volumes: owner, location, failures and what they leave."""

from __future__ import annotations

import dataclasses
import itertools
import types
from typing import Any

import pytest

from drivers.interface.errors import ImageCopyFailure, VolumeBackendAPIException
from flows.context import CloneUploads
from flows.errors import OperationCancelled
from flows.volume.image_volumes import clone_registration, upload_by_clone
from tests.unit.flows.world.images import IMAGE
from tests.unit.flows.world.world import HOST, World

ARGS = {"volume_id": "v1", "image_meta": {"id": "i2"}, "image_volume_id": "c1"}
WHOLE = ["active", "deactivated", "pending_delete"]
USED = {"volumes": 1, "gigabytes": 2, "snapshots": 0}


@pytest.fixture
def cloud(world: World) -> World:
    """A world with a volume and an image that is to be made of it."""
    allow(world)
    world.add_volume(status="uploading", size=2, bootable=True, display_description="mine")
    world.db.pairs["metadata", "v1"] = {"role": "db", "image_size": "1"}
    world.db.pairs["image", "v1"] = {"image_id": "i0"}
    facts = {"id": "i2", "status": "queued", "owner": "p", "properties": {}}
    world.images.service.images["i2"] = {**IMAGE, **facts}
    return world


def allow(world: World, **options: Any) -> None:
    uploads = CloneUploads(**options)
    world.options = dataclasses.replace(world.options, clone_uploads=uploads)


def run(world: World, status: str = "active", resumed: bool = False) -> None:
    outcome = world.run(upload_by_clone.flow, resumed=resumed, **ARGS)
    assert outcome.state == "done", outcome.failure
    assert world.volume()["status"] == "available"
    assert world.images.service.images["i2"]["status"] == status
    assert not world.db.quota.open


def sent(world: World) -> bool:
    """Return whether the data was sent; nothing is left of a clone then."""
    if not world.images.placements:
        return False
    row = world.db.volumes.rows.get("c1")
    assert row is None or row["deleted"]
    assert world.driver.objects == {"volume-v1"}
    assert world.db.quota.used == USED
    return True


def kept(world: World, status: str = "active") -> None:
    """Check that an image has its clone still."""
    assert world.images.service.images["i2"]["status"] == status
    assert world.volume("c1")["status"] == "available"
    assert world.driver.objects == {"volume-v1", "volume-c1"}


class TestTheClone:
    def test_keeps_the_image(self, cloud: World) -> None:
        run(cloud)

        assert not sent(cloud)
        assert cloud.images.service.added == [("i2", "cinder://c1", {})]
        clone = cloud.volume("c1")
        shown = {name: clone[name] for name in ("status", "size", "host", "project_id", "user_id")}
        assert shown == {
            "status": "available",
            "size": 2,
            "host": HOST,
            "project_id": "p",
            "user_id": "u",
        }
        assert (clone["display_name"], clone["display_description"]) == ("image-i2", "mine")
        assert (clone["source_volid"], clone["bootable"]) == ("v1", True)
        assert cloud.db.pairs["metadata", "c1"] == {
            "role": "db",
            "image_owner": "p",
            "glance_image_id": "i2",
        }
        assert cloud.db.pairs["image", "c1"] == {"image_id": "i0"}
        assert cloud.db.pairs["admin_metadata", "c1"] == {"readonly": "True"}
        assert cloud.db.quota.used == {"volumes": 2, "gigabytes": 4, "snapshots": 0}

    def test_may_belong_to_the_internal_tenant(self, cloud: World) -> None:
        allow(cloud, project_id="internal", user_id="nobody")

        run(cloud)

        clone = cloud.volume("c1")
        assert (clone["project_id"], clone["user_id"]) == ("internal", "nobody")
        assert cloud.db.pairs["metadata", "c1"]["image_owner"] == "p"

    def test_is_in_the_store_of_the_type(self, cloud: World) -> None:
        cloud.db.types["t1"] = {"extra_specs": {"image_service:store_id": "fast"}}

        run(cloud)

        [(_image, url, metadata)] = cloud.images.service.added
        assert (url, metadata) == ("cinder://fast/c1", {"store": "fast"})

    def test_of_a_driver_without_clones_is_made_by_a_snapshot(self, cloud: World) -> None:
        cloud.driver.missing.add("create_cloned_volume")

        run(cloud)

        assert not sent(cloud)
        assert cloud.driver.objects == {"volume-v1", "volume-c1"}

    def test_is_waited_for_until_glance_has_looked_at_it(self, cloud: World) -> None:
        cloud.images.service.looks = 5

        run(cloud)

        assert not sent(cloud)

    @pytest.mark.parametrize("status", WHOLE)
    def test_is_kept_through_an_outage_of_glance(self, cloud: World, status: str) -> None:
        cloud.images.service.added_status = status
        taken = cloud.images.service.add_location

        def out(*args: Any) -> None:
            taken(*args)
            cloud.images.service.outage = 3

        cloud.images.service.add_location = out  # type: ignore[method-assign]

        run(cloud, status=status)

        assert not sent(cloud)
        assert cloud.volume("c1")["status"] == "available"

    def test_shows_that_its_wait_goes_on(self, cloud: World, monkeypatch: Any) -> None:
        clock = types.SimpleNamespace(monotonic=itertools.count(step=10.0).__next__)
        monkeypatch.setattr(clone_registration, "time", clock)
        cloud.images.service.looks = 5
        shown: list[float] = []
        ctx = dataclasses.replace(cloud.context(), progress=shown.append)

        clone_registration.register(ctx, ctx.volumes.get("v1"), "i2", "c1")

        assert len(shown) >= 3
        assert shown == sorted(set(shown))


class TestTheDataIsSent:
    def test_of_an_encrypted_volume(self, cloud: World) -> None:
        cloud.volume()["encryption_key_id"] = "key"

        run(cloud)

        assert sent(cloud)

    def test_without_quota(self, cloud: World) -> None:
        allow(cloud, project_id="poor", user_id="nobody")

        run(cloud)

        assert sent(cloud)

    @pytest.mark.parametrize("error", [VolumeBackendAPIException("full"), KeyError("bug")])
    def test_where_the_clone_fails(self, cloud: World, error: Exception) -> None:
        cloud.driver.plan["create_cloned_volume"] = error

        run(cloud)

        assert sent(cloud)
        assert cloud.images.service.added == []

    @pytest.mark.parametrize(
        "error", [ImageCopyFailure("403 no role"), NotImplementedError(), KeyError("bug")]
    )
    def test_where_the_location_is_refused(
        self, cloud: World, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        cloud.images.service.refusal = error

        run(cloud)

        assert sent(cloud)
        assert "volume v1 is sent to image i2, the image service did not take its clone" in (
            caplog.text
        )

    def test_where_glance_takes_the_location_away_again(self, cloud: World) -> None:
        cloud.images.service.add_location = lambda *_: None  # type: ignore[method-assign]

        run(cloud)

        assert sent(cloud)

    def test_where_it_is_not_enabled_any_more(self, cloud: World) -> None:
        cloud.options = dataclasses.replace(cloud.options, clone_uploads=None)

        run(cloud)

        assert sent(cloud)


class TestAResumedStep:
    def reserve(self, cloud: World, resumed: bool = False) -> Any:
        step = upload_by_clone.ReserveImageVolume()
        return step.execute(ctx=cloud.context(resumed), **ARGS)

    def clone(self, cloud: World) -> Any:
        named = {"volume_id": "v1", "image_volume_id": "c1", "reserved": True}
        return upload_by_clone.CloneVolume().execute(ctx=cloud.context(resumed=True), **named)

    @pytest.mark.parametrize("status", ["in-use", "reserved", "attaching"])
    def test_keeps_a_clone_that_is_read(self, cloud: World, status: str) -> None:
        run(cloud)
        cloud.volume("c1")["status"] = status

        assert self.clone(cloud) is True
        assert cloud.driver.called("delete_volume") == []

    def test_does_not_use_a_clone_that_goes(self, cloud: World) -> None:
        run(cloud)
        cloud.volume("c1")["status"] = "deleting"

        assert self.clone(cloud) is False

    def test_has_the_data_sent_where_remains_cannot_be_removed(self, cloud: World) -> None:
        self.reserve(cloud)
        cloud.driver.plan["delete_volume"] = VolumeBackendAPIException("stuck")

        assert self.clone(cloud) is False
        assert cloud.volume("c1")["status"] == "error_deleting"

    def test_gives_row_and_quota_back_where_it_is_not_enabled_any_more(self, cloud: World) -> None:
        assert self.reserve(cloud) is True
        assert cloud.db.quota.open
        cloud.options = dataclasses.replace(cloud.options, clone_uploads=None)

        assert self.reserve(cloud, resumed=True) is False
        assert cloud.volume("c1")["deleted"]
        assert not cloud.db.quota.open
        assert cloud.db.quota.used == USED

    def test_removes_the_clone_of_a_volume_that_has_gone(self, cloud: World) -> None:
        self.reserve(cloud)
        assert self.clone(cloud) is True
        cloud.volume("v1")["deleted"] = True

        begun = ["reserve", "clone"]
        upload_by_clone.CloneVolume().remove_temporary(cloud.context(), ARGS, begun)

        assert "i2" not in cloud.images.service.images
        assert cloud.volume("c1")["deleted"]
        assert "volume-c1" not in cloud.driver.objects


def test_a_lost_answer_is_no_refusal(cloud: World) -> None:
    taken = cloud.images.service.add_location

    def lost(*args: Any) -> None:
        taken(*args)
        raise ImageCopyFailure("the connection was reset")

    cloud.images.service.add_location = lost  # type: ignore[method-assign]

    run(cloud)

    assert not sent(cloud)


def test_an_image_of_others_is_neither_cloned_nor_written(cloud: World) -> None:
    cloud.images.service.images["i2"]["owner"] = "another"

    assert cloud.run(upload_by_clone.flow, **ARGS).state == "failed"
    assert cloud.images.service.images["i2"]["status"] == "queued"
    assert "c1" not in cloud.db.volumes.rows
    assert cloud.volume()["status"] == "available"


class TestAnEndInBetween:
    def test_leaves_neither_image_nor_clone(self, cloud: World) -> None:
        cloud.images.service.looks = 1000
        taken = cloud.images.service.add_location

        def cancelled(*args: Any) -> None:
            taken(*args)
            raise OperationCancelled("an operator")

        cloud.images.service.add_location = cancelled  # type: ignore[method-assign]
        assert cloud.run(upload_by_clone.flow, **ARGS).state == "failed"

        assert "i2" not in cloud.images.service.images
        assert cloud.volume("c1")["deleted"]
        assert cloud.driver.objects == {"volume-v1"}
        assert cloud.db.quota.used == USED
        assert cloud.volume()["status"] == "available"

    def test_keeps_the_clone_where_glance_cannot_be_asked(self, cloud: World) -> None:
        cloud.images.service.looks = 1000

        def gone(*_: Any) -> Any:
            raise ImageCopyFailure("Glance does not answer")

        def cancelled(*_: Any) -> None:
            cloud.images.service.show = gone  # type: ignore[method-assign]
            raise OperationCancelled("an operator")

        cloud.images.service.add_location = cancelled  # type: ignore[method-assign]
        assert cloud.run(upload_by_clone.flow, **ARGS).state == "failed"

        assert cloud.volume("c1")["status"] == "available"

    def test_keeps_the_clone_of_an_image_that_is_whole(
        self, cloud: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(self: Any, ctx: Any, volume_id: str) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(upload_by_clone.upload.FinishUpload, "execute", broken)
        assert cloud.run(upload_by_clone.flow, **ARGS).state == "failed"

        assert cloud.images.service.images["i2"]["status"] == "active"
        assert cloud.volume("c1")["status"] == "available"
        assert cloud.driver.objects == {"volume-v1", "volume-c1"}

    def test_keeps_the_clone_as_long_as_glance_has_not_said_no(self, cloud: World) -> None:
        allow(cloud, timeout=-1.0)
        taken = cloud.images.service.add_location

        def lost(*args: Any) -> None:
            taken(*args)
            cloud.images.service.outage = 1000
            raise ImageCopyFailure("the connection was reset")

        cloud.images.service.add_location = lost  # type: ignore[method-assign]
        assert cloud.run(upload_by_clone.flow, **ARGS).state == "failed"

        kept(cloud)

    def test_keeps_the_clone_where_locations_cannot_be_read(self, cloud: World) -> None:
        taken = cloud.images.service.add_location

        def lost(*args: Any) -> None:
            taken(*args)
            raise ImageCopyFailure("the connection was reset")

        def hidden(*_: Any) -> Any:
            raise ImageCopyFailure("Glance does not answer")

        cloud.images.service.add_location = lost  # type: ignore[method-assign]
        cloud.images.service.get_location = hidden  # type: ignore[method-assign]
        assert cloud.run(upload_by_clone.flow, **ARGS).state == "failed"

        kept(cloud)

    def test_removes_the_clone_of_an_image_that_got_its_data_elsewhere(self, cloud: World) -> None:
        def refused(*_: Any) -> None:
            cloud.images.service.images["i2"]["status"] = "active"
            cloud.images.service.locations = None, [{"url": "file:///i2"}]
            raise ImageCopyFailure("409")

        cloud.images.service.add_location = refused  # type: ignore[method-assign]
        assert cloud.run(upload_by_clone.flow, **ARGS).state == "failed"

        assert cloud.volume("c1")["deleted"]
        assert cloud.images.service.images["i2"]["status"] == "active"

    @pytest.mark.parametrize("deletable", [True, False])
    def test_where_glance_takes_too_long(self, cloud: World, deletable: bool) -> None:
        """Glance takes no data meanwhile: the image goes, and then its clone."""
        allow(cloud, timeout=-1.0)
        cloud.images.service.looks = 1000
        if not deletable:
            cloud.images.service.delete = lambda *_: None  # type: ignore[method-assign]

        assert cloud.run(upload_by_clone.flow, **ARGS).state == "failed"

        assert ("i2" in cloud.images.service.images) != deletable
        assert bool(cloud.volume("c1")["deleted"]) == deletable
        assert cloud.volume()["status"] == "available"

    @pytest.mark.parametrize("status", WHOLE)
    def test_keeps_the_clone_of_a_whole_image(
        self, cloud: World, monkeypatch: pytest.MonkeyPatch, status: str
    ) -> None:
        def broken(self: Any, ctx: Any, volume_id: str) -> None:
            cloud.images.service.images["i2"]["status"] = status
            raise RuntimeError("broken")

        monkeypatch.setattr(upload_by_clone.upload.FinishUpload, "execute", broken)
        assert cloud.run(upload_by_clone.flow, **ARGS).state == "failed"

        kept(cloud, status)

    def test_a_clone_that_cannot_be_removed_stays_in_an_error(self, cloud: World) -> None:
        cloud.images.service.refusal = ImageCopyFailure("no")
        cloud.driver.plan["delete_volume"] = VolumeBackendAPIException("stuck")

        run(cloud)

        assert cloud.volume("c1")["status"] == "error_deleting"
        assert cloud.db.quota.used["volumes"] == 2
