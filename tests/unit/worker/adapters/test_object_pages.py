# SPDX-License-Identifier: Apache-2.0
"""Pages of a backend's objects: the driver lists once, and no object is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.listing import BackendObject
from worker.adapters.object_pages import KEPT, ObjectPages
from worker.db.criteria import BackendRows
from worker.db.records import Records


class Listing:
    """A backend whose driver lists objects."""

    def __init__(self) -> None:
        self.names = ["c", "a", "e", "b", "d"]
        self.lists = 0
        self.now = 0.0

    def require_driver(self) -> Listing:
        return self

    def list_objects(self, volumes: Any, snapshots: Any) -> Iterator[Any]:
        self.lists += 1
        for name in self.names:
            yield BackendObject("volume", name) if name != "rubbish" else name

    def pages(self, records: Records) -> ObjectPages:
        backend: Any = self
        return ObjectPages(records, backend, BackendRows("h@b"), lambda: self.now)


@pytest.fixture
def listing() -> Listing:
    return Listing()


@pytest.fixture
def pages(listing: Listing) -> ObjectPages:
    records: Any = type("R", (), {"volumes": _Rows(), "snapshots": _Rows()})()
    return listing.pages(records)


class _Rows:
    def on_host(self, place: Any) -> Iterator[Any]:
        return iter(())


def names(page: Any) -> list[str]:
    return [fields[1] for fields in page]


def test_the_driver_lists_once_for_all_pages(listing: Listing, pages: ObjectPages) -> None:
    found = [pages.page(after, 2) for after in (None, ("volume", "b"), ("volume", "d"))]

    assert [names(page) for page in found] == [["a", "b"], ["c", "d"], ["e"]]
    assert listing.lists == 1


def test_a_late_page_is_made_of_a_new_list(listing: Listing, pages: ObjectPages) -> None:
    pages.page(None, 2)
    listing.now, listing.names = KEPT + 1, ["a", "bb", "c"]

    assert names(pages.page(("volume", "b"), 2)) == ["bb", "c"]
    assert listing.lists == 2


def test_a_new_audit_gets_a_new_list(listing: Listing, pages: ObjectPages) -> None:
    pages.page(None, 2)
    listing.names.append("aa")

    assert names(pages.page(None, 2)) == ["a", "aa"]


def test_a_driver_without_a_list_has_no_page(
    listing: Listing, pages: ObjectPages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_rows: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(listing, "list_objects", refuse)

    assert pages.page(None, 2) is None


def test_rubbish_is_an_error_of_the_driver(listing: Listing, pages: ObjectPages) -> None:
    listing.names.append("rubbish")

    with pytest.raises(VolumeBackendAPIException, match="list_objects of h@b failed"):
        pages.page(None, 2)
