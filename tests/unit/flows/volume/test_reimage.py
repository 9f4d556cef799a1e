# SPDX-License-Identifier: Apache-2.0
"""Notifications of a reimaged volume: spec/volume-rpc, reimage."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from oslo_utils import units

from drivers.interface.errors import ComputeError, ImageUnacceptable, VolumeBackendAPIException
from flows.errors import InvalidSnapshot
from flows.protocols.encryption_keys import Passphrase
from flows.volume import reimage
from tests.unit.flows.world.world import World

OTHER = "node@other#pool"
LUKS = {
    "provider": "luks",
    "control_location": "front-end",
    "cipher": "aes-xts-plain64",
    "key_size": 256,
}
ARGS = {"volume_id": "v1", "image_meta": {"id": "i1"}, "snapshot_id": None}


def run(world: World, before: str = "reserved") -> Any:
    world.add_volume(status="downloading", previous_status=before)
    world.add_attachment(instance_uuid="i1", attach_status="reserved")
    return world.run(reimage.flow, **ARGS)


@pytest.mark.parametrize(
    ("source", "columns"),
    [
        pytest.param({"host": OTHER}, {}, id="of another backend"),
        pytest.param({}, {"status": "creating"}, id="being created"),
        pytest.param({}, {"status": "error"}, id="without data"),
    ],
)
def test_a_snapshot_that_cannot_be_read_here_is_refused(
    world: World, source: dict[str, str], columns: dict[str, str]
) -> None:
    world.add_volume("v2", **source)
    world.add_snapshot(volume_id="v2", **columns)
    world.add_volume(status="downloading", previous_status="available")

    assert world.run(reimage.flow, **{**ARGS, "snapshot_id": "s1"}).state == "failed"

    assert world.volume()["status"] == "error"
    assert world.driver.called("create_volume_from_snapshot") == []


def test_an_instance_that_waits_is_told(world: World) -> None:
    assert run(world).state == "done"

    assert world.volume()["status"] == "reserved"
    assert world.compute.told == [("reimaged", "v1", ["i1"])]
    assert world.messaged() == []


@pytest.mark.parametrize("before", ["available", "error"])
def test_nobody_waits_for_one_that_was_not_reserved(world: World, before: str) -> None:
    assert run(world, before).state == "done"

    assert world.volume()["status"] == before
    assert world.compute.told == []


def test_nobody_is_told_of_a_failure(world: World) -> None:
    world.driver.plan["initialize_connection"] = VolumeBackendAPIException("no")

    assert run(world).state == "failed"
    assert world.compute.told == []


def test_news_that_are_not_taken_fail_nothing(world: World) -> None:
    world.compute.error = ComputeError("Nova refused: 404")

    assert run(world).state == "done"
    assert world.volume()["status"] == "reserved"
    assert world.messaged() == [("016", "028")]


def test_nothing_is_reverted_after_the_end_where_an_old_journal_fails_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(world).state == "done"
    before_finish = next(text for text in world.journal.texts if '"finish"' in text)
    world.journal.put_back(before_finish)
    reverted: list[str] = []

    def fail(_step: Any, ctx: Any, volume_id: str) -> None:
        raise VolumeBackendAPIException(f"{ctx.key} {volume_id}")

    monkeypatch.setattr(reimage.FinishReimage, "execute", fail)
    monkeypatch.setattr(
        reimage.image_copy,
        "remove_leftovers",
        lambda _ctx, volume_id, _result: reverted.append(volume_id),
    )

    assert world.run(reimage.flow, resumed=True, **ARGS).state == "failed"
    assert reverted == []
    assert world.volume()["status"] == "reserved"
    assert world.messaged() == []


class TestEncrypted:
    """Volumes and images with keys: what could not be read is refused before a byte is written."""

    def run(self, world: World, keys: dict[str, bytes], image_key: str | None = "k2") -> Any:
        known = {"cinder_encryption_key_id": image_key} if image_key else {}
        world.images.service.images["i1"]["properties"] = known
        world.keys = SimpleNamespace(
            passphrase=lambda _request, key_id: Passphrase(keys[key_id]),
        )
        world.db.types["t1"] = {"name": "secret", "extra_specs": {}, "encryption": LUKS}
        world.add_volume(
            status="downloading",
            previous_status="available",
            volume_type_id="t1",
            encryption_key_id=next(iter(keys), None),
        )
        return world.run(reimage.flow, **ARGS)

    def test_an_image_that_the_key_of_the_volume_opens(self, world: World) -> None:
        outcome = self.run(world, {"k1": b"one", "k2": b"one"})

        assert outcome.failure is None, outcome.failure.exception_str
        assert world.volume()["status"] == "available" and world.images.encrypted_volumes == []

    @pytest.mark.parametrize(
        ("keys", "reason"),
        [
            pytest.param({"k1": b"one", "k2": b"two"}, "with another key", id="another key"),
            pytest.param({}, "is of a type that is not", id="a volume without a key"),
        ],
    )
    def test_an_image_that_could_not_be_read(
        self, world: World, keys: dict[str, bytes], reason: str
    ) -> None:
        written: list[Any] = []  # by a driver that looks at no key
        world.driver.copy_image_to_volume = lambda *args: written.append(args)  # type: ignore[method-assign]
        outcome = self.run(world, keys)

        assert outcome.failure.check(ImageUnacceptable) and reason in outcome.failure.exception_str
        assert world.volume()["status"] == "error" and world.messaged() == [("016", "001")]
        assert written == []

    def test_a_disk_without_room_for_the_header(self, world: World) -> None:
        world.images.service.images["i1"] |= {"disk_format": "raw", "size": units.Gi}
        outcome = self.run(world, {"k1": b"one"}, None)

        assert outcome.failure.check(ImageUnacceptable)
        assert "behind the header" in outcome.failure.exception_str
        assert world.images.encrypted_volumes == []

    @pytest.mark.parametrize(
        ("snapshot", "volume"),
        [
            pytest.param({"encryption_key_id": "k2"}, {}, id="a key"),
            pytest.param({}, {"encryption_key_id": "k1"}, id="no key"),
            pytest.param(
                {"encryption_key_id": "k2", "volume_type_id": "t2"},
                {"encryption_key_id": "k1", "volume_type_id": "t1"},
                id="encrypted in another way",
            ),
        ],
    )
    def test_a_snapshot_of_another_volume_is_encrypted_as_it_is(
        self, world: World, snapshot: dict[str, str], volume: dict[str, str]
    ) -> None:
        world.db.types["t1"] = {"name": "one", "extra_specs": {}, "encryption": LUKS}
        two = {**LUKS, "provider": "luks2"}
        world.db.types["t2"] = {"name": "two", "extra_specs": {}, "encryption": two}
        world.add_volume("v2")
        world.add_snapshot(volume_id="v2", **snapshot)
        world.add_volume(status="downloading", previous_status="available", **volume)
        outcome = world.run(reimage.flow, **{**ARGS, "snapshot_id": "s1"})

        assert outcome.failure.check(InvalidSnapshot)
        assert "is not encrypted as" in outcome.failure.exception_str
        assert world.volume()["status"] == "error" and world.messaged() == [("016", "001")]
        assert world.driver.called("create_volume_from_snapshot") == []
