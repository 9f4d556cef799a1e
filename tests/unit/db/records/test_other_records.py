# SPDX-License-Identifier: Apache-2.0
"""Work rows, user messages, data of initiators."""

from __future__ import annotations

import datetime
from types import SimpleNamespace

import pytest

from drivers.interface.records import Record
from tests.unit.db.records.test_service_records import WHO
from tests.unit.db.world import PROJECT


class TestWorkRows:
    @pytest.fixture
    def service(self, records):
        row = records.services.ensure(**WHO)
        records.workers = records.work_of(row)
        return row.id

    def row(self, tables):
        return tables.row("workers", resource_id="v1")

    def test_offer_makes_one_unclaimed_row(self, records, tables, service):
        records.workers.offer("Volume", "v1", "creating")
        records.workers.offer("Volume", "v1", "creating")
        row = self.row(tables)

        assert (row["service_id"], row["status"], row["deleted"]) == (None, "creating", False)
        assert row["race_preventer"] == 1
        assert row["updated_at"] is not None

    def test_claim_takes_it_over_once(self, records, tables, service):
        records.workers.offer("Volume", "v1", "creating")
        records.workers.claim("Volume", "v1", "creating")
        first = self.row(tables)
        records.workers.claim("Volume", "v1", "creating")

        assert (first["service_id"], first["race_preventer"]) == (service, 1)
        assert self.row(tables) == first

    def test_claim_with_another_status_writes_it(self, records, tables, service):
        records.workers.offer("Volume", "v1", "creating")
        records.workers.claim("Volume", "v1", "creating")
        records.workers.claim("Volume", "v1", "downloading")

        assert self.row(tables)["status"] == "downloading"

    def test_claim_takes_it_over_from_another_service(self, records, tables, service):
        records.workers.offer("Volume", "v1", "creating")
        records.workers.claim("Volume", "v1", "creating")
        other = records.services.ensure(**{**WHO, "host": "new"})
        records.work_of(other).claim("Volume", "v1", "creating")

        assert self.row(tables)["service_id"] == other.id != service

    def test_claim_without_a_row_makes_none(self, records, tables, service):
        records.workers.claim("Volume", "v1", "creating")

        assert [row["resource_type"] for row in tables.rows("workers")] == ["SENTINEL"]

    def test_offer_gives_a_claimed_row_back(self, records, tables, service):
        records.workers.offer("Volume", "v1", "creating")
        records.workers.claim("Volume", "v1", "creating")
        records.workers.offer("Volume", "v1", "creating")

        assert self.row(tables)["service_id"] is None


def request(project="p1"):
    """Who asked."""
    return SimpleNamespace(project_id=project, request_id="req-1")


class TestMessages:
    volume = Record("volume", {"id": "v1", "project_id": "owner"})

    def test_says_what_happened_to_what_and_until_when(self, records, tables):
        records.messages.create(request(), self.volume, action="008", detail="012")
        row = tables.row("messages")

        assert row["event_id"] == "VOLUME_VOLUME_008_012"
        assert (row["project_id"], row["request_id"]) == ("p1", "req-1")
        assert (row["resource_type"], row["resource_uuid"]) == ("VOLUME", "v1")
        assert (row["action_id"], row["detail_id"]) == ("008", "012")
        assert (row["message_level"], row["deleted"]) == ("ERROR", False)
        assert row["expires_at"] - row["created_at"] == datetime.timedelta(days=30)

    def test_about_a_snapshot(self, records):
        records.messages.create(
            request(), self.volume, action="009", detail="013", resource_type="VOLUME_SNAPSHOT"
        )

        assert [m.event_id for m in records.messages.list()] == ["VOLUME_VOLUME_SNAPSHOT_009_013"]

    def test_the_owner_reads_what_nobody_in_particular_caused(self, records, tables):
        records.messages.create(request(None), self.volume, action="008", detail="012")

        assert tables.row("messages")["project_id"] == "owner"

    def test_what_nobody_could_read_is_not_written(self, records, tables):
        nobodys = self.volume.replace(project_id=None)
        records.messages.create(request(None), nobodys, action="008", detail="012")

        assert tables.rows("messages") == []


class TestInitiators:
    def test_sets_then_removes_for_good(self, records, tables):
        records.initiators.save("iqn", "ns", {"a": 1, "b": "2", "c": "3"}, [])
        records.initiators.save("iqn", "ns", {"a": "9", "d": "4"}, ["b", "d", "none"])

        assert records.initiators.get("iqn", "ns") == {"a": "9", "c": "3"}
        assert len(tables.rows("driver_initiator_data")) == 2

    def test_each_has_its_own(self, records):
        records.initiators.save("iqn", "ns", {"a": "1"}, [])
        records.initiators.save("iqn", "other", {"a": "2"}, [])

        assert records.initiators.get("iqn", "ns") == {"a": "1"}
        assert records.initiators.get("other", "ns") == {}

    def test_what_does_not_fit_changes_nothing(self, records):
        with pytest.raises(ValueError, match="driver_initiator_data.value"):
            records.initiators.save("iqn", "ns", {"a": "1", "b": "x" * 256}, [])
        assert records.initiators.get("iqn", "ns") == {}


@pytest.mark.parametrize("text", ["x" * 1_000_000, "a\0b", "\ud800", "\U0001f600"])
def test_a_message_never_fails_its_operation(records, tables, text, caplog):
    records.volumes.create(id="v1", project_id=PROJECT)
    volume = records.volumes.get("v1")
    odd = Record("request", {"project_id": PROJECT, "request_id": text})
    records.messages.create(odd, volume, action="001", detail="001")
    foreign = Record("request", {"project_id": text, "request_id": "req-1"})
    records.messages.create(foreign, volume, action="001", detail="001")

    stored = [row["project_id"] for row in tables.rows("messages")]
    assert stored.count(PROJECT) == 1
    assert len(stored) == 2 or "no user message about volume v1" in caplog.text
