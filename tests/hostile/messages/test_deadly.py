# SPDX-License-Identifier: Apache-2.0
"""A message that ends the process at each delivery is put aside, over a real RabbitMQ."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import kombu
import pytest

from tests.servers import until
from worker.journal.journal import Journal
from worker.rpc.received.deliveries import DEATHS_MAX, DeadlyMessage, Deliveries

ROOT = Path(__file__).parents[3]


class Victim:
    """Processes that follow each other, as a supervisor starts them."""

    def __init__(self, url: str, directory: Path) -> None:
        self.deaths = 0
        self._command = [sys.executable, "-m", "tests.hostile.messages.victim", url, str(directory)]
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = directory / "ready"

    def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log)

    def supervise(self) -> bool:
        """Start it again after a death; return whether it has died too often."""
        assert self._process is not None
        if self._process.poll() is not None:
            assert self._process.returncode == 9, self._log.read_text()[-3000:]
            self.deaths += 1
            self.start()
        return self.deaths > DEATHS_MAX + 3

    @property
    def ready(self) -> bool:
        return self._ready.exists()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)


@pytest.fixture
def victim(rabbit_url: str, tmp_path: Path) -> Iterator[Victim]:
    made = Victim(rabbit_url, tmp_path)
    made.start()
    yield made
    made.kill()


def publish(url: str, method: str) -> str:
    unique_id = uuid.uuid4().hex
    inner = {"method": method, "args": {}, "version": "3.0", "_unique_id": unique_id}
    envelope = {"oslo.version": "2.0", "oslo.message": json.dumps(inner)}
    with kombu.Connection(url.replace("rabbit://", "amqp://")) as connection:
        connection.Producer().publish(
            json.dumps(envelope).encode(),
            exchange=kombu.Exchange("openstack", "topic", durable=False),
            routing_key="victim.h1",
            content_type="application/json",
            content_encoding="utf-8",
        )
    return unique_id


@pytest.mark.parametrize("method", ["die", "die_decoding"])
def test_it_is_put_aside_and_the_next_one_is_accepted(
    victim: Victim, rabbit_url: str, tmp_path: Path, method: str
) -> None:
    until(lambda: victim.ready, 60, "the service")
    publish(rabbit_url, method)
    good = str(uuid.UUID(publish(rabbit_url, "good")))
    journal = Journal(f"sqlite:///{tmp_path}/journal.sqlite")

    def ended() -> bool:
        rejected = journal.entries(rejected=True)
        accepted = {entry.flow for entry in journal.entries()}
        return victim.supervise() or (bool(rejected) and good in accepted)

    until(ended, 120, "the end of the deadly message")
    assert victim.deaths == DEATHS_MAX + 1
    [entry] = journal.entries(rejected=True)
    assert f"the process ended in {DEATHS_MAX + 1} deliveries" in str(entry.failure)
    # The good message was delivered again too: its note goes once it is handled.
    until(lambda: not list((tmp_path / "deliveries").iterdir()), 30, "the notes to be removed")
    journal.close()


HELD: list[object] = []
"""Blocks that are never left, as those of a process that died."""


def die_with(directory: Path, body: bytes) -> None:
    """Begin to handle a message in a process of its own, and never end."""
    HELD.append(Deliveries(directory).note(body, True).dispatching())
    HELD[-1].__enter__()  # type: ignore[attr-defined]


def notes(directory: Path) -> list[str]:
    return [path.read_text() for path in directory.iterdir()]


class TestCount:
    def test_a_first_delivery_is_not_noted(self, tmp_path: Path) -> None:
        note = Deliveries(tmp_path / "d").note(b"body", False)
        with note.decoding(), note.dispatching():
            assert not (tmp_path / "d").exists()

    def test_one_that_is_handled_leaves_no_note(self, tmp_path: Path) -> None:
        deliveries = Deliveries(tmp_path)
        for _ in range(2 * DEATHS_MAX):
            note = deliveries.note(b"body", True)
            with note.decoding():
                assert notes(tmp_path) == ["1"]
            with note.dispatching():
                assert notes(tmp_path) == ["1"]
        assert notes(tmp_path) == []

    def test_one_that_is_handled_after_a_death_leaves_no_note(self, tmp_path: Path) -> None:
        die_with(tmp_path, b"body")
        note = Deliveries(tmp_path).note(b"body", True)
        with note.decoding():
            assert notes(tmp_path) == ["2"]
        assert notes(tmp_path) == ["1"], "it is not handled yet"
        with note.dispatching():
            assert notes(tmp_path) == ["2"]
        assert notes(tmp_path) == []

    @pytest.mark.parametrize("step", ["decoding", "dispatching"])
    def test_one_that_is_refused_leaves_no_note(self, tmp_path: Path, step: str) -> None:
        die_with(tmp_path, b"body")
        note = Deliveries(tmp_path).note(b"body", True)
        with pytest.raises(ZeroDivisionError), getattr(note, step)():
            raise ZeroDivisionError
        assert notes(tmp_path) == []

    def test_one_is_noted_at_a_time(self, tmp_path: Path) -> None:
        """The death that one causes would count for the other one as well."""
        deliveries = Deliveries(tmp_path)
        first = deliveries.note(b"first", True).dispatching()
        entered = threading.Event()

        def decode_second() -> None:
            with deliveries.note(b"second", True).decoding():
                entered.set()

        thread = threading.Thread(target=decode_second)
        with first:
            thread.start()
            assert not entered.wait(0.2)
            assert notes(tmp_path) == ["1"]
        thread.join(10)
        assert entered.is_set()

    def test_deaths_are_counted_for_each_message_by_itself(self, tmp_path: Path) -> None:
        for _ in range(DEATHS_MAX):
            die_with(tmp_path, b"deadly")
        deliveries = Deliveries(tmp_path)
        for body in (b"other", b"deadly"):
            raised = pytest.raises(DeadlyMessage) if body == b"deadly" else nullcontext()
            with raised, deliveries.note(body, True).decoding():
                pass
        with deliveries.note(b"deadly", True).decoding():
            """It is put aside by now: the count begins anew."""

    @pytest.mark.parametrize("kept", ["", "x", "9" * 5000, "-1"])
    def test_a_damaged_note_counts_as_none(self, tmp_path: Path, kept: str) -> None:
        die_with(tmp_path, b"body")
        [note] = tmp_path.iterdir()
        note.write_text(kept)

        with Deliveries(tmp_path).note(b"body", True).decoding():
            assert notes(tmp_path) == ["1"]

    def test_a_directory_that_cannot_be_written_is_no_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with Deliveries(tmp_path / "file").note(b"body", True).decoding():
            pass
