# SPDX-License-Identifier: Apache-2.0
"""Rows that a stopped cinder-volume left, and those for its next start (spec/volume-rpc §8)."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from drivers.interface.records import Record
from tests.conftest import DATABASES
from tests.functional.cloud import HOST, Cloud
from tests.functional.service import Service
from tests.servers import until
from worker.db import models
from worker.journal.entries.listed_entry import JournalEntry
from worker.rpc import codec

CINDER = {
    "binary": "cinder-volume",
    "topic": "cinder-volume",
    "availability_zone": "nova",
    "rpc_version": "3.20",
    "object_version": "1.39",
}


@pytest.fixture(params=DATABASES)
def stopped_cloud(
    request: pytest.FixtureRequest,
    volume_service: Callable[..., Service],
    rabbit_url: str,
    new_database: Callable[[str], str],
    tmp_path: Path,
) -> Iterator[Cloud]:
    """A service that is not started yet."""
    made = Cloud(volume_service, rabbit_url, new_database(request.param), tmp_path)
    made.script.plan()
    yield made
    made.close()


def service_of(cloud: Cloud, host: str = HOST) -> int:
    """Return the row id of a service, as a cinder-volume made it."""
    return int(cloud.records.services.ensure(host=host, **CINDER).id)


def claimed(cloud: Cloud, resource: Record, service_id: int | None, **columns: Any) -> Record:
    """Insert the work row of a resource."""
    row = {"resource_type": resource.kind.capitalize(), "resource_id": resource.id}
    row |= {"status": resource.status, "service_id": service_id, "race_preventer": 0}
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    times = {"created_at": now, "updated_at": now - datetime.timedelta(seconds=5)}
    with cloud.database.writer() as connection:
        connection.execute(
            sa.insert(models.workers).values(**{**row, "deleted": False, **times, **columns})
        )
    return resource


def work(cloud: Cloud) -> dict[str, int | None]:
    """Return who has claimed which work."""
    rows = cloud.database.rows(sa.select(models.workers))
    return {row.resource_id: row.service_id for row in rows if row.resource_type != "SENTINEL"}


def ask(cloud: Cloud, service_id: int, **wanted: Any) -> None:
    fields = {"service_id": service_id, "resource_type": None, "resource_id": None, "until": None}
    request = codec.encode("CleanupRequest", "1.0", {**fields, **wanted})
    cloud.cast("do_cleanup", "3.7", cleanup_request=request)


def cleanups(cloud: Cloud) -> list[JournalEntry]:
    """Return the requested clean-ups that have ended."""
    entries = [entry for entry in cloud.entries() if entry.method == "do_cleanup"]
    return [entry for entry in entries if entry.state == "SUCCESS"]


def asked(cloud: Cloud, method: str) -> list[str]:
    """Return the resources for which a method of the driver was called."""
    return [call["id"] for call in cloud.script.calls(method)]


class TestStart:
    @pytest.fixture
    def cloud(self, stopped_cloud: Cloud) -> Cloud:
        """Return a cloud of the test's own, since its service starts with the rows that exist."""
        return stopped_cloud

    def test_what_was_left_is_ended_by_cinders_rules(self, cloud: Cloud) -> None:
        ours = service_of(cloud)
        creating = claimed(cloud, cloud.volume("creating"), ours)
        downloading = claimed(cloud, cloud.existing("downloading"), ours)
        uploading = claimed(cloud, cloud.existing("uploading"), ours)
        attached = claimed(cloud, cloud.existing("uploading"), ours)
        cloud.attachment(attached, "attached")
        deleting = claimed(cloud, cloud.existing("deleting"), ours)
        with_deleting = cloud.existing_snapshot(deleting, "deleting")
        snapshot = claimed(cloud, cloud.snapshot(uploading, "creating"), ours)
        ended = claimed(cloud, cloud.volume("creating"), ours)
        cloud.records.volumes.update(ended.id, status="available")
        cloud.service.start()

        # Before anything is consumed.
        assert {
            one.id: cloud.status(one)
            for one in (creating, downloading, uploading, attached, snapshot, ended)
        } == {
            creating.id: "error",
            downloading.id: "error",
            uploading.id: "available",
            attached.id: "in-use",
            snapshot.id: "error",
            ended.id: "available",
        }
        cloud.wait_status(deleting, "gone")
        cloud.wait_idle()
        assert cloud.status(with_deleting) == "gone"
        assert not cloud.script.objects() & {deleting.name, with_deleting.name}
        assert [c["id"] for c in cloud.script.calls("clear_download")] == [downloading.id]
        assert work(cloud) == {}

    def test_work_of_others_and_what_waits_is_left_alone(self, cloud: Cloud) -> None:
        service_of(cloud)
        other = service_of(cloud, "h2@b1")
        theirs = claimed(cloud, cloud.volume("creating"), other)
        waits = claimed(cloud, cloud.volume("creating"), None)
        cloud.service.start()

        assert (cloud.status(theirs), cloud.status(waits)) == ("creating", "creating")
        assert work(cloud) == {theirs.id: other, waits.id: None}
        cloud.cast("create_volume", volume=waits)
        cloud.wait_status(waits, "available")
        cloud.wait_idle()
        assert work(cloud) == {theirs.id: other}

    def test_what_the_journal_resumes_is_left_to_it(self, cloud: Cloud) -> None:
        cloud.service.start()
        volume = cloud.volume("creating")
        claimed(cloud, volume, None)
        cloud.script.plan(create_volume={"exit": True})
        cloud.cast("create_volume", volume=volume)
        until(lambda: cloud.script.calls("create_volume"), 60, "the driver to be asked")
        cloud.service.kill()
        assert work(cloud) == {volume.id: service_of(cloud)}
        cloud.script.plan()
        cloud.service.start()

        cloud.wait_status(volume, "available")
        cloud.wait_idle()
        assert work(cloud) == {}

    def test_a_kill_while_it_cleans(self, cloud: Cloud) -> None:
        ours = service_of(cloud)
        volumes = [claimed(cloud, cloud.existing("downloading"), ours) for _ in range(3)]
        cloud.script.plan(clear_download={"exit": True, "only": volumes[1].id})
        process = cloud.service.launch()
        until(lambda: process.returncode is not None, 60, "the end of the service")
        cloud.script.plan()
        cloud.service.start()

        assert [cloud.status(volume) for volume in volumes] == ["error"] * 3
        assert work(cloud) == {}

    def test_what_cannot_be_cleaned_keeps_its_row(self, cloud: Cloud) -> None:
        ours = service_of(cloud)
        volume = claimed(cloud, cloud.existing("downloading"), ours)
        cloud.script.plan(clear_download={"raise": "OSError"})
        cloud.service.start()

        assert (cloud.status(volume), work(cloud)) == ("downloading", {volume.id: ours})


class TestOnRequest:
    def test_the_work_of_a_service_that_is_gone(self, cloud: Cloud) -> None:
        other = service_of(cloud, "h2@b1")
        volume = claimed(cloud, cloud.volume("creating"), other)
        ask(cloud, other)

        cloud.wait_status(volume, "error")
        cloud.wait_idle()
        assert volume.id not in work(cloud)

    @pytest.mark.parametrize(
        "wanted",
        [
            {"resource_type": "Snapshot"},
            {"resource_id": "8d9a2d1e-5f8d-4d2f-9a55-0c8f6a8f7c11"},
            {"until": "2020-01-01T00:00:00Z"},
        ],
    )
    def test_not_what_was_not_asked_for(self, cloud: Cloud, wanted: dict[str, Any]) -> None:
        other = service_of(cloud, "h2@b1")
        volume = claimed(cloud, cloud.volume("creating"), other)
        ended = len(cleanups(cloud))
        ask(cloud, other, **wanted)
        until(lambda: len(cleanups(cloud)) > ended, 60, "the clean-up")

        assert (cloud.status(volume), work(cloud)[volume.id]) == ("creating", other)

    def test_not_what_is_being_worked_on(self, cloud: Cloud, tmp_path: Path) -> None:
        volume = claimed(cloud, cloud.volume("creating"), None)
        gate = {"wait_for": str(tmp_path / "gate"), "only": volume.id}
        cloud.script.plan(create_volume=gate)
        cloud.cast("create_volume", volume=volume)
        until(lambda: volume.id in asked(cloud, "create_volume"), 60, "the driver to be asked")
        ended = len(cleanups(cloud))
        ask(cloud, service_of(cloud))
        until(lambda: len(cleanups(cloud)) > ended, 60, "the clean-up")
        assert cloud.status(volume) == "creating"

        (tmp_path / "gate").touch()
        cloud.wait_status(volume, "available")

    @pytest.mark.parametrize(
        "bad", [{"service_id": "x"}, {"until": "soon"}, {"resource_id": "../x"}, {}]
    )
    def test_requests_that_are_none(self, cloud: Cloud, bad: dict[str, Any]) -> None:
        fields = {"service_id": 1, **bad} if bad else {}
        request = codec.encode("CleanupRequest", "1.0", fields)
        rejected = len(cloud.entries(rejected=True))
        cloud.cast("do_cleanup", "3.7", cleanup_request=request)

        until(lambda: len(cloud.entries(rejected=True)) > rejected, 60, "the rejection")


@pytest.mark.timeout(180)
def test_what_no_row_tells_of_is_ended_after_a_while(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> None:
    service = functools.partial(
        volume_service, module="tests.functional.operations.host.short_grace"
    )
    cloud = Cloud(service, rabbit_url, f"sqlite:///{tmp_path / 'c.sqlite'}", tmp_path)
    cloud.script.plan()
    cloud.service.start()
    cloud.service.stop()
    group, kept = cloud.group("updating"), cloud.existing()
    ends = {
        cloud.volume("creating"): "error",
        cloud.existing("extending"): "error_extending",
        cloud.existing("retyping", previous_status="available"): "available",
        cloud.existing("reverting"): "error",
        cloud.existing("deleting"): "gone",
        cloud.existing_snapshot(kept, "deleting"): "error_deleting",
        cloud.existing_snapshot(kept, "restoring"): "available",
        group: "error",
        cloud.existing("attaching"): "attaching",
    }
    # This one waits on the bus.
    waits = cloud.volume("creating")
    cloud.cast("create_volume", volume=waits)
    until(lambda: datetime.datetime.now().microsecond < 200_000, 2, "another second")
    position = cloud.service.position()
    cloud.service.start()
    cloud.service.wait_for_log("was left .* by another service", 90, after=position)

    for resource, status in ends.items():
        cloud.wait_status(resource, status)
    assert cloud.status(waits) == "available"
    cloud.wait_idle()
    cloud.close()


class TestRowsThatWeLeave:
    """A Cinder that takes over again finds none for work that has ended."""

    def test_of_whatever_went_well(self, cloud: Cloud) -> None:
        image = cloud.image()
        empty = cloud.image(None)
        created = claimed(cloud, cloud.volume("creating"), None)
        from_image = claimed(cloud, cloud.volume("creating"), None)
        deleted = claimed(cloud, cloud.existing("deleting"), None)
        uploaded = claimed(cloud, cloud.existing("uploading"), None)
        imaged = claimed(cloud, cloud.existing("downloading"), None)
        snapshot = claimed(cloud, cloud.snapshot(cloud.existing()), None)
        cloud.cast("create_volume", volume=created)
        spec = {"image_id": image["id"]}
        cloud.cast("create_volume", volume=from_image, request_spec=spec)
        cloud.cast("delete_volume", volume=deleted)
        meta = {"id": empty["id"], "disk_format": "raw", "container_format": "bare"}
        cloud.cast("copy_volume_to_image", volume_id=uploaded.id, image_meta=meta)
        cloud.cast("reimage", "3.20", volume=imaged, image_meta={"id": image["id"]})
        cloud.cast("create_snapshot", snapshot=snapshot)
        for one in (created, from_image, uploaded, imaged, snapshot):
            cloud.wait_status(one, "available")
        cloud.wait_status(deleted, "gone")
        cloud.wait_idle()

        mine = {created.id, from_image.id, deleted.id, uploaded.id, imaged.id, snapshot.id}
        assert not work(cloud).keys() & mine

    def test_of_whatever_failed(self, cloud: Cloud) -> None:
        methods = ("create_volume", "delete_volume", "create_snapshot", "copy_volume_to_image")
        cloud.script.plan(**{method: {"raise": "OSError"} for method in methods})
        created = claimed(cloud, cloud.volume("creating"), None)
        deleted = claimed(cloud, cloud.existing("deleting"), None)
        uploaded = claimed(cloud, cloud.existing("uploading"), None)
        snapshot = claimed(cloud, cloud.snapshot(cloud.existing()), None)
        cloud.cast("create_volume", volume=created)
        cloud.cast("delete_volume", volume=deleted)
        meta = {"id": cloud.image(None)["id"], "disk_format": "raw"}
        cloud.cast("copy_volume_to_image", volume_id=uploaded.id, image_meta=meta)
        cloud.cast("create_snapshot", snapshot=snapshot)
        cloud.wait_status(created, "error")
        cloud.wait_status(deleted, "error_deleting")
        cloud.wait_status(uploaded, "available")
        cloud.wait_status(snapshot, "error")
        cloud.wait_idle()

        mine = {created.id, deleted.id, uploaded.id, snapshot.id}
        assert not work(cloud).keys() & mine
