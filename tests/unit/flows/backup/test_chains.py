# SPDX-License-Identifier: Apache-2.0
"""Backups of a chain are consolidated and deleted; the others restore the same data."""

from __future__ import annotations

import dataclasses
import itertools
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.backup.posix import PosixDriver
from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record
from flows.backup import consolidate, restore, rewrites, transfer_control
from flows.backup.delete import CheckNoDependents
from flows.context import BackupContext
from flows.errors import BackupUnwanted
from tests.unit.flows.backup.chain_store import Store, deleted


class TestConsolidation:
    def test_it_is_a_full_backup_then(self, store: Store, chain: list[str]) -> None:
        assert store.run(consolidate.flow, backup_id=chain[2]).failure is None
        row = store.found(chain[2])
        assert (row.parent_id, row.status) == (None, "available")
        assert store.counts(*chain) == [1, 0, 1, 0]
        store.require_intact(*chain)

    def test_a_full_one_stays_as_it_is(self, store: Store, chain: list[str]) -> None:
        before = store.found(chain[0]).service_metadata
        assert store.run(consolidate.flow, backup_id=chain[0]).failure is None
        assert store.found(chain[0]).service_metadata == before

    def test_a_failure_leaves_the_first_copy(
        self, store: Store, chain: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def switch(*_args: Any, **_named: Any) -> bool:
            return False

        monkeypatch.setattr(store.records.backups, "switch", switch)
        assert store.run(consolidate.flow, backup_id=chain[2]).failure is not None
        row = store.found(chain[2])
        assert row.status == "available"
        assert row.fail_reason.startswith("it was not consolidated: ")
        store.require_intact(*chain)
        monkeypatch.undo()
        assert store.run(consolidate.flow, backup_id=chain[2]).failure is None
        assert store.found(chain[2]).fail_reason is None, "it is that of an earlier attempt"

    def test_one_that_is_deleted_meanwhile_is_gone(self, store: Store, chain: list[str]) -> None:
        def delete() -> None:
            store.records.backups.transition(chain[3], "deleting", when=("available",))
            store.driver.delete_backup(store.found(chain[3]))
            store.records.backups.destroy(chain[3])

        store.during = delete
        store.run(consolidate.flow, backup_id=chain[3])
        assert store.found(chain[3]).deleted
        assert store.places(chain[3]) == set()
        store.require_intact(*chain[:3])

    def test_a_record_that_was_exported_before_can_be_restored(
        self, store: Store, chain: list[str]
    ) -> None:
        exported = store.found(chain[3])
        assert store.run(consolidate.flow, backup_id=chain[3]).failure is None
        store.driver.verify(exported)
        store.records.backups.update(chain[3], service_metadata=exported.service_metadata)
        assert store.restored(chain[3]) == store.data[chain[3]]
        store.driver.delete_backup(store.found(chain[3]))
        assert store.places(chain[3]) == set()

    @pytest.mark.parametrize("failures", [1, 99])
    def test_a_first_copy_that_an_outage_keeps_goes_later(
        self, store: Store, chain: list[str], monkeypatch: pytest.MonkeyPatch, failures: int
    ) -> None:
        real, calls = PosixDriver.remove_copy, itertools.count()

        def fail(driver: PosixDriver, *args: Any) -> None:
            if next(calls) < failures:
                raise BackupDriverException("the store is away")
            real(driver, *args)

        monkeypatch.setattr(rewrites, "PAUSES", (0.0, 0.0, 0.0))
        monkeypatch.setattr(PosixDriver, "remove_copy", fail)
        assert store.run(consolidate.flow, backup_id=chain[3]).failure is None
        monkeypatch.undo()
        row = store.found(chain[3])
        assert (row.parent_id, row.fail_reason) == (None, None)
        assert len(store.places(chain[3])) == (1 if failures == 1 else 2)
        assert store.restored(chain[3]) == store.data[chain[3]]
        store.driver.delete_backup(row)
        assert store.places(chain[3]) == set()
        store.require_intact(*chain[:3])

    @pytest.mark.parametrize("status", ["restoring", "error"])
    def test_one_that_is_in_use_is_refused(
        self, store: Store, chain: list[str], status: str
    ) -> None:
        store.records.backups.update(chain[2], status=status)
        assert store.run(consolidate.flow, backup_id=chain[2]).failure is not None
        assert (store.found(chain[2]).status, store.found(chain[2]).parent_id) == (status, chain[1])


class TestDeletion:
    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_those_that_build_on_it_stay(self, store: Store, chain: list[str], which: int) -> None:
        before = store.found(chain[which]).parent_id
        assert deleted(store, chain[which]).failure is None
        assert store.found(chain[which]).deleted
        assert store.found(chain[which + 1]).parent_id == before
        assert store.places(chain[which]) == set()
        left = [one for one in chain if one != chain[which]]
        store.require_intact(*left)
        assert store.counts(*left) == [1, 1, 0]

    def test_each_branch_is_given_its_data(self, store: Store, chain: list[str]) -> None:
        branch = store.make(chain[1])
        assert deleted(store, chain[1]).failure is None
        assert store.counts(chain[0], chain[1]) == [2, 0]
        store.require_intact(chain[0], chain[2], chain[3], branch)

    @pytest.mark.parametrize("status", ["creating", "error"])
    def test_it_waits_for_those_that_are_in_use(
        self, store: Store, chain: list[str], status: str
    ) -> None:
        store.records.backups.update(chain[2], status=status)
        assert deleted(store, chain[1]).failure is not None
        row = store.found(chain[1])
        assert row.status == "available"
        assert chain[2] in row.fail_reason and status in row.fail_reason
        store.records.backups.update(chain[2], status="available")
        store.require_intact(*chain)

    def test_one_that_is_made_on_it_meanwhile_keeps_it(
        self, store: Store, chain: list[str]
    ) -> None:
        store.during = lambda: (
            store.data.setdefault("more", b"") or made.append(store.make(chain[1]))
        )
        made: list[str] = []
        assert deleted(store, chain[1]).failure is not None
        assert store.found(chain[1]).status == "available"
        store.require_intact(*chain, *made)

    def test_a_failing_store_loses_nothing(
        self, store: Store, chain: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_args: Any) -> None:
            raise BackupDriverException("the store is away")

        monkeypatch.setattr(PosixDriver, "rewrite", fail)
        assert deleted(store, chain[1]).failure is not None
        monkeypatch.undo()
        assert store.found(chain[1]).status == "available"
        assert store.restored(chain[3]) == store.data[chain[3]]
        assert deleted(store, chain[1]).failure is None
        assert store.restored(chain[3]) == store.data[chain[3]]

    def test_it_is_available_until_none_builds_on_it(
        self, store: Store, chain: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str] = []
        store.during = lambda: seen.append(store.found(chain[1]).status)
        real = PosixDriver.delete_backup

        def remove(driver: PosixDriver, backup: Record) -> None:
            seen.append(store.found(chain[1]).status)
            assert store.records.backups.dependants(chain[1]) == []
            real(driver, backup)

        monkeypatch.setattr(PosixDriver, "delete_backup", remove)
        assert deleted(store, chain[1]).failure is None
        assert seen == ["available", "deleting"]

    def test_one_that_is_made_on_it_at_the_last_moment_keeps_it(
        self, store: Store, chain: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[str] = []
        real = CheckNoDependents.execute

        def check(step: CheckNoDependents, ctx: BackupContext, backup_id: str) -> None:
            real(step, ctx, backup_id)
            made.append(store.make(chain[1]))

        monkeypatch.setattr(CheckNoDependents, "execute", check)
        assert deleted(store, chain[1]).failure is not None
        assert store.found(chain[1]).status == "available"
        store.require_intact(*chain, *made)

    def test_one_that_is_restored_meanwhile_stays(self, store: Store, chain: list[str]) -> None:
        store.during = lambda: store.records.backups.update(chain[1], status="restoring")
        assert deleted(store, chain[1]).failure is not None
        assert store.found(chain[1]).status == "restoring"
        store.records.backups.update(chain[1], status="available")
        store.require_intact(*chain)

    def test_a_removal_that_failed_is_an_error(
        self, store: Store, chain: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_args: Any) -> None:
            raise BackupDriverException("the store is away")

        monkeypatch.setattr(PosixDriver, "delete_backup", fail)
        assert deleted(store, chain[1]).failure is not None
        row = store.found(chain[1])
        assert (row.status, row.fail_reason) == ("error", "the store is away")
        store.require_intact(chain[0], chain[2], chain[3])

    def test_an_unwanted_copy_is_ended(self, store: Store, chain: list[str]) -> None:
        context = store.context()
        pace = transfer_control.cancellable(context, chain[1], ("restoring",))
        with pytest.raises(BackupUnwanted):
            pace.progress(0.5)


class TestReaders:
    def test_a_restore_goes_to_the_other_copy(self, store: Store, chain: list[str]) -> None:
        tries: list[bool] = []

        def read(backup: Record, again: bool) -> bytes:
            tries.append(again)
            if not again:  # the chain changes under it
                links = store.driver._recorded.links(backup)
                assert deleted(store, chain[1]).failure is None
                [*store.driver._store.reading(links[1].container, f"{links[1].prefix}_metadata")]
            return store.restored(backup.id)

        found = transfer_control.while_places_stay(store.context(), chain[3], read)
        assert found == store.data[chain[3]]
        assert tries == [False, True]

    def test_a_driver_that_records_a_new_place_at_each_call_fails_once(
        self, store: Store, chain: list[str]
    ) -> None:
        tries: list[bool] = []

        def make(backup: Record, again: bool) -> None:
            tries.append(again)
            if len(tries) < 4:
                place = {"service_metadata": f"prefix-{len(tries)}"}
                store.context().backups.update(backup.id, **place)
            raise BackupDriverException("quota exceeded")

        with pytest.raises(BackupDriverException, match="quota"):
            transfer_control.while_places_stay(store.context(), chain[3], make, own=False)
        assert tries == [False]

    def test_damage_of_a_chain_that_moved_is_read_again(
        self, store: Store, chain: list[str]
    ) -> None:
        tries: list[bool] = []

        def read(_backup: Record, again: bool) -> int:
            tries.append(again)
            if not again:
                assert deleted(store, chain[1]).failure is None
            return len(tries)

        found = transfer_control.while_places_stay(
            store.context(), chain[3], read, doubtful=lambda: True
        )
        assert (found, tries) == (2, [False, True])

    def test_a_damaged_chain_is_read_once(self, store: Store, chain: list[str]) -> None:
        tries: list[bool] = []

        def read(_backup: Record, again: bool) -> None:
            tries.append(again)
            raise BackupDriverException("damaged")

        with pytest.raises(BackupDriverException, match="damaged"):
            transfer_control.while_places_stay(store.context(), chain[3], read)
        assert tries == [False]

    @pytest.mark.parametrize("resumed", [False, True])
    def test_a_volume_is_new_to_the_first_attempt_only(
        self, store: Store, chain: list[str], monkeypatch: pytest.MonkeyPatch, resumed: bool
    ) -> None:
        """An earlier attempt may have written data of a chain that was changed since."""
        told: list[bool] = []

        def restored(*_args: Any, volume_is_new: bool = False) -> None:
            told.append(volume_is_new)

        monkeypatch.setattr(PosixDriver, "restore", restored)
        monkeypatch.setattr(restore.open_on_host, "opened", lambda *_a, **_n: nullcontext())
        zero: Any = SimpleNamespace(
            new_volumes_are_zero=lambda *_args: True,
            secure_file_operations_enabled=lambda *_args: True,
        )
        context = dataclasses.replace(store.context(), volume_service=zero, resumed=resumed)
        restore.WriteVolume().execute(context, chain[0], store.volume_id, volume_is_new=True)
        assert told == [not resumed]
