# SPDX-License-Identifier: Apache-2.0
"""Attachments, and their effect on the volume."""

from __future__ import annotations

import pytest

from flows.errors import VolumeAttachmentNotFound, VolumeNotFound
from tests.unit.db.world import LONG_AGO


class TestAttachmentRows:
    @pytest.fixture(autouse=True)
    def volume(self, records):
        return records.volumes.create(id="v1")

    def test_create_update_get(self, records):
        made = records.attachments.create(id="a1", volume_id="v1", attach_status="reserved")
        records.attachments.update("a1", connector='{"host": "h"}', attached_host="h")
        found = records.attachments.get("a1")

        assert (made.attach_status, found.attach_status) == ("reserved", "reserved")
        assert (found.connector, found.attached_host) == ('{"host": "h"}', "h")

    def test_an_existing_row_is_returned_as_it_is(self, records):
        records.attachments.create(id="a1", volume_id="v1", attach_status="reserved")

        assert records.attachments.create(id="a1", volume_id="v1").attach_status == "reserved"

    def test_a_connector_is_as_long_as_it_needs_to_be(self, records):
        made = records.attachments.create(volume_id="v1", connector="x" * 5000)

        assert len(records.attachments.get(made.id).connector) == 5000

    def test_destroy_says_when_and_may_be_repeated(self, records, tables):
        records.attachments.create(id="a1", volume_id="v1", attach_status="attached")
        tables.set("volume_attachment", "a1", updated_at=LONG_AGO)
        records.attachments.destroy("a1")
        first = tables.row("volume_attachment", id="a1")
        records.attachments.destroy("a1")

        assert (first["attach_status"], first["deleted"]) == ("detached", True)
        assert first["detach_time"] and first["deleted_at"]
        assert first["updated_at"] == LONG_AGO
        assert tables.row("volume_attachment", id="a1") == first
        with pytest.raises(VolumeAttachmentNotFound):
            records.attachments.get("a1")

    @pytest.mark.parametrize("attachment_id", ["", "gone", "x" * 40])
    def test_to_destroy_what_is_not_there_is_nothing(self, records, attachment_id):
        records.attachments.destroy(attachment_id)


@pytest.mark.parametrize(
    ("statuses", "volume", "settled"),
    [
        ([], {"status": "detaching"}, ("available", "detached")),
        (["attached"], {"status": "attaching"}, ("in-use", "attached")),
        (["reserved", "attached"], {"status": "reserved"}, ("in-use", "attached")),
        (["reserved", "attaching"], {"status": "x"}, ("attaching", "attaching")),
        (["reserved", "detaching"], {"status": "x"}, ("detaching", "detaching")),
        (["reserved"], {"status": "x"}, ("reserved", "reserved")),
        (["error_attaching"], {"status": "attaching"}, ("available", "detached")),
        (["error_detaching", "attached"], {"status": "x"}, ("in-use", "attached")),
        ([None, "detached"], {"status": "x"}, ("available", "detached")),
        ([], {"status": "uploading"}, ("uploading", "detached")),
        (["attached"], {"status": "uploading"}, ("in-use", "attached")),
        ([], {"status": "in-use", "migration_status": "migrating"}, ("in-use", "detached")),
        ([], {"status": "in-use", "migration_status": "success"}, ("available", "detached")),
        ([], {"status": "in-use", "migration_status": "error"}, ("available", "detached")),
        (["attached"], {"status": "x", "migration_status": "migrating"}, ("in-use", "attached")),
    ],
)
class TestSettle:
    """Source: spec/volume-rpc §3."""

    def test_settle(self, records, tables, statuses, volume, settled):
        records.volumes.create(id="v1", attach_status="attached", **volume)
        records.volumes.create(id="v2")
        for status in statuses:
            records.attachments.create(volume_id="v1", attach_status=status)
        ended = records.attachments.create(volume_id="v1", attach_status="attached")
        records.attachments.destroy(ended.id)
        records.attachments.create(volume_id="v2", attach_status="attached")

        assert records.attachments.settle_volume("v1") == settled[0]
        row = records.volumes.get("v1")
        assert (row.status, row.attach_status) == settled


class TestSettled:
    def test_what_is_settled_is_not_written_again(self, records, tables):
        records.volumes.create(id="v1", status="available", attach_status="detached")
        records.attachments.settle_volume("v1")

        assert tables.row("volumes", id="v1")["updated_at"] is None

    def test_a_missing_volume_is_not_found(self, records):
        with pytest.raises(VolumeNotFound):
            records.attachments.settle_volume("v1")
