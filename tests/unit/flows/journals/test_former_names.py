# SPDX-License-Identifier: Apache-2.0
"""Names that journals of earlier versions hold lead to the present factories and errors."""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest
from taskflow import states
from taskflow.persistence.models import TaskDetail
from taskflow.types.failure import Failure

from flows import errors, factories, former_names
from flows.lifecycle import Statuses
from flows.volume import create, delete
from worker.journal.journal import Journal
from worker.rpc.operation import Operation

OLD = "flows.volume.before_the_move"


def error_of(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


class TestFactories:
    def test_a_module_that_moved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(former_names, "MODULES", {OLD: create.__name__})

        assert factories.factory_of(f"{OLD}:flow") is create.flow

    def test_a_factory_with_another_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(former_names, "MODULES", {OLD: create.__name__})
        present = factories.path_of(delete.flow)
        monkeypatch.setattr(former_names, "FACTORIES", {f"{OLD}:remove": present})

        assert factories.factory_of(f"{OLD}:remove") is delete.flow
        assert factories.factory_of(f"{OLD}:flow") is create.flow

    def test_the_present_name_is_stored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(former_names, "MODULES", {OLD: create.__name__})

        path = factories.path_of(factories.factory_of(f"{OLD}:flow"))

        assert path == "flows.volume.create:flow"


class TestErrors:
    """A failure that is read back gives the status that its error has today."""

    STATUSES = Statuses(
        during=("deleting",),
        success=None,
        failure={errors.VolumeAttached: "available", Exception: "error_deleting"},
    )

    def read_back(self, directory: Path, failure: Failure) -> Failure:
        journal = Journal(f"sqlite:///{directory}/journal.sqlite")
        journal.upgrade()
        operation = Operation(delete.flow, ("volume", "v1"), {}, method="delete_volume")
        detail = journal.accept(uuid.uuid4().hex, "slot", operation)
        assert detail is not None
        atom = TaskDetail("remove", str(uuid.uuid4()))
        atom.put(states.FAILURE, failure)
        progress = journal.progress(detail)
        progress.update_atom_details(atom)
        progress.flush()
        (found,) = journal.load(detail.uuid)
        return found.failure  # type: ignore[no-any-return]

    def stored_as(self, name: str) -> Failure:
        data = Failure.from_exception(errors.VolumeAttached("v1 is attached")).to_dict()
        data["exc_type_names"][0] = name
        return Failure.from_dict(data)

    def test_an_error_that_moved(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            former_names, "ERRORS", {"flows.old.Busy": "flows.errors.VolumeAttached"}
        )

        failure = self.read_back(tmp_path, self.stored_as("flows.old.Busy"))

        assert self.STATUSES.after(failure) == "available"
        assert failure.exception_str == "v1 is attached"

    def test_without_an_entry_it_is_another_error(self, tmp_path: Path) -> None:
        failure = self.read_back(tmp_path, self.stored_as("flows.old.Busy"))

        assert self.STATUSES.after(failure) == "error_deleting"

    def test_a_cause_that_moved(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            former_names, "ERRORS", {"flows.old.Busy": "flows.errors.VolumeAttached"}
        )
        data = Failure.from_exception(RuntimeError("failed")).to_dict()
        data["causes"] = [self.stored_as("flows.old.Busy").to_dict()]

        failure = self.read_back(tmp_path, Failure.from_dict(data))

        assert failure.causes[0].check(errors.VolumeAttached)


class TestTables:
    def test_each_module_and_factory_leads_to_a_present_one(self) -> None:
        for module in former_names.MODULES.values():
            assert importlib.util.find_spec(module), module
        for path in former_names.FACTORIES.values():
            assert factories.path_of(factories.factory_of(path)) == path

    def test_each_error_leads_to_a_present_class(self) -> None:
        for path in former_names.ERRORS.values():
            found = error_of(path)
            assert isinstance(found, type) and issubclass(found, Exception), path

    @pytest.mark.parametrize("table", ["MODULES", "FACTORIES", "ERRORS"])
    def test_no_former_name_leads_to_another_one(self, table: str) -> None:
        entries: Mapping[str, str] = getattr(former_names, table)

        assert not entries.keys() & set(entries.values())

    def test_no_present_module_has_a_former_name(self) -> None:
        """Its factories would be taken for others when they are read back."""
        for module in former_names.MODULES:
            assert _spec(module) is None, module


def _spec(module: str) -> object:
    try:
        return importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
