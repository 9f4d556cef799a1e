# SPDX-License-Identifier: Apache-2.0
"""Pages for people: each shows its subject, escapes the texts of others, and only reads."""

from __future__ import annotations

import uuid
from html.parser import HTMLParser
from pathlib import Path

import pytest

from flows.errors import Unavailable
from tests.unit.page.conftest import Reader
from worker.journal.errors import JournalError
from worker.page.site import link
from worker.page.views import lists

HOSTILE = "<script>alert(1)</script>\"'&\u202e\x1b[31m password=s3cret"


class Seen(HTMLParser):
    """The tags and ids of a page; an open tag that nothing closes is a fault."""

    EMPTY = frozenset({"meta", "link", "input", "rect", "line", "path"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.labelled: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), "a handler inside the page"
            assert name != "style", "a style inside the page"
            if name == "id":
                self.ids.append(str(value))
            if name in ("aria-labelledby", "for"):
                self.labelled += str(value).split()
        if tag not in self.EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def addresses(reader: Reader) -> list[tuple[str, str]]:
    """Return the pages of all kinds."""
    ids = reader.ids
    return [
        ("/", ""),
        *(("/operations", f"state={choice}") for choice in lists.STATES),
        *((link("flow", ids[name]), "") for name in ("running", "waiting", "failed", "message")),
        (link("volume", ids["volume"]), ""),
        (link("request", f"req-{ids['volume']}"), ""),
        ("/backups", ""),
        ("/rejected", ""),
        ("/find", "id=req-"),
    ]


def test_pages_are_whole_and_have_one_heading_and_labels(reader: Reader) -> None:
    for path, query in addresses(reader):
        found = Seen(reader.page(path, query))

        assert found.tags.count("h1") == found.tags.count("main") == 1, path
        assert len(found.ids) == len(set(found.ids)), path
        assert set(found.labelled) <= set(found.ids), path
        assert found.tags.count("script") == 1, "but for the file of the script, none"


def test_the_overview_has_operations_failures_pools_and_the_audit(reader: Reader) -> None:
    page = reader.page("/")

    assert "2 running, 1 waiting" in page
    assert "37 %" in page
    assert "its turn: another operation works on the volume" in page
    assert "lvcreate: insufficient free space" in page
    assert "unknown method create_shelf" in page
    assert "node1@lvm#fast" in page and "92 %" in page
    assert "volume_without_object" in page and "object_without_row" not in page
    assert "node2@ceph could not be read: no key" in page
    assert "Slots of the cluster" not in page, "a journal in a file has none"


def test_the_overview_names_why_a_service_is_not_ready(reader: Reader) -> None:
    page = reader.page("/", ready=False)

    assert "not ready" in page
    assert "node1@lvm/0: driver: no array answers" in page


def test_a_process_without_a_snapshot_is_shown(reader: Reader) -> None:
    assert "not started yet" in reader.page("/", processes=[{}])


def test_a_part_that_cannot_be_read_does_not_hide_the_others(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: object, **_more: object) -> None:
        raise Unavailable("the database is away, password=s3cret")

    monkeypatch.setattr("worker.cli.explain.activity.services", away)
    page = reader.page("/")

    assert "Not known: the database is away" in page
    assert "s3cret" not in page
    assert "2 running" in page


def test_an_operation_has_a_picture_and_the_same_as_a_table(reader: Reader) -> None:
    page = reader.page(link("flow", reader.ids["unreverted"]))

    assert '<svg role="img"' in page and 'class="undo"' in page
    assert "begin: REVERTED" in page and "allocate: NOT UNDONE" in page, "the text of the picture"
    assert page.count("NOT UNDONE") >= 3
    assert "not undone, allocate: VolumeIsBusy" in page
    assert f"holdfast flow revert {reader.ids['unreverted']}" in page


def test_a_running_operation_has_its_progress(reader: Reader) -> None:
    page = reader.page(link("flow", reader.ids["running"]))

    assert "RUNNING 37%" in page and 'class="done"' in page
    assert "runs in node1@lvm/0, in its step allocate" in page


def test_a_resource_has_what_explain_has(reader: Reader) -> None:
    page = reader.page(link("volume", reader.ids["volume"]))

    assert "create_volume failed in its step allocate" in page
    assert "Possible commands" in page and "History" in page
    assert "worker.execution.executor" in page, "the log of the host"
    assert "worker.execution.executor" not in reader.page(
        link("volume", reader.ids["volume"]), part=True
    ), "logs are not searched again and again"


def test_backups_are_shown_as_chains(reader: Reader) -> None:
    page = reader.page("/backups")
    at = [page.index(name) for name in (">shop-sunday<", ">shop-monday<", ">shop-tuesday<")]

    assert at == sorted(at)
    assert "4 backups" in page and "increment 2" in page
    assert "the backup on which the first one builds has no row" in page
    assert "the store is full" in page


def test_texts_of_others_are_escaped_and_masked(reader: Reader) -> None:
    content = reader.content
    volume = content.volume(status="error", display_name=HOSTILE)
    flow = content.failed(volume, HOSTILE)
    content.backup(volume, display_name=HOSTILE, fail_reason=HOSTILE)
    content.journal.rejected.add(uuid.uuid4().hex, HOSTILE, HOSTILE, request_id=HOSTILE)
    places = [*addresses(reader), (link("flow", flow), ""), (link("volume", volume), "")]
    pages = [reader.page(path, query) for path, query in places]
    pages.append(reader.answer("/<script>", "id=<script>")["content"])
    pages.append(reader.answer("/find", "id=<script>")["content"])

    for page in pages:
        assert "<script>" not in page
        assert not {"\u202e", "\x1b"} & set(page)
        assert "s3cret" not in page
    assert any("&lt;script&gt;" in page for page in pages)


@pytest.mark.parametrize(
    ("path", "query", "status", "text"),
    [
        ("/nothing", "", "404 Not Found", "There is no page /nothing."),
        ("/operations/nothing", "", "404 Not Found", "The journal has no operation nothing"),
        ("/resources/shelf/x", "", "404 Not Found", "There is no kind shelf"),
        ("/resources/volume/x", "", "404 Not Found", "Neither database nor journal knows"),
        ("/requests/x", "", "404 Not Found", "Neither database nor journal knows"),
        ("/static/../site.py", "", "404 Not Found", "There is no file"),
        ("/operations", "page=0", "400 Bad Request", "is no page"),
        ("/operations", "page=9999999999", "400 Bad Request", "is no page"),
        ("/operations", "page=²", "400 Bad Request", "is no page"),
        ("/operations", "state=odd", "400 Bad Request", "is no choice"),
        ("/find", "id=ab", "400 Bad Request", "at least 4 characters"),
        ("/find", "id=zzzzzz", "404 Not Found", "begins with"),
    ],
)
def test_wrong_addresses_get_a_clear_answer(
    reader: Reader, path: str, query: str, status: str, text: str
) -> None:
    found = reader.answer(path, query)

    assert found["status"] == status
    assert text in found["content"]


def test_a_search_leads_to_the_only_match(reader: Reader) -> None:
    found = reader.answer("/find", f"id={reader.ids['failed'][:13]}")

    assert found["status"] == "303 See Other"
    assert ["Location", link("flow", reader.ids["failed"])] in [*map(list, found["headers"])]


def test_a_part_has_neither_head_nor_navigation(reader: Reader) -> None:
    page = reader.page("/", part=True)

    assert "<h1>" in page and "<html" not in page and "<nav aria-label" not in page


def test_lists_have_pages(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "LENGTH", 4)
    monkeypatch.setattr(lists, "CHAINS", 1)
    first, second = (reader.page("/operations", f"state=done&page={at}") for at in (1, 2))
    ids = [one for one in first.split('"') if one.startswith("/operations/")]

    assert len(ids) == 4 and not any(one in second for one in ids)
    assert 'rel="next" href="/operations?state=done&amp;page=2"' in first
    assert 'rel="prev"' in second and 'rel="prev"' not in first
    assert 'href="/backups?page=2"' in reader.page("/backups")
    assert "There are no more." in reader.page("/operations", "state=done&page=99")


def test_files_may_be_kept(reader: Reader) -> None:
    found = reader.answer("/static/page.css")

    assert found["kind"].startswith("text/css")
    assert ["Cache-Control", "max-age=3600"] in [*map(list, found["headers"])]


def test_nothing_can_be_written(reader: Reader) -> None:
    access = reader.site._access

    with pytest.raises(JournalError, match="readonly"):
        access.journal.rejected.add(uuid.uuid4().hex, "m", "no reason")
    with pytest.raises(Exception, match="readonly"):
        access.records.volumes.create(size=1)


def test_every_file_of_the_pages_is_part_of_the_package() -> None:
    text = Path("pyproject.toml").read_text(encoding="utf-8")

    assert '"page/static/*"' in text and '"page/templates/*"' in text
