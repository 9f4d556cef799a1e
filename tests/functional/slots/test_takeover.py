# SPDX-License-Identifier: Apache-2.0
"""The operations of a host that died, froze or was drained are resumed by another one."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.interface.records import Record
from tests.functional.service import Service
from tests.functional.slots.hosts import Hosts
from tests.functional.slots.pooled import WITHOUT_TIMER
from tests.servers import Servers, until

pytestmark = pytest.mark.lasts(20)

LONG = {"slot_ttl": 300.0, "slot_renewal": 0.5, "slot_kill_after": 200.0}
"""Leases whose end no test waits for."""

ADOPTED = r"h2@b1/0 adopts slot h1@b1/0.* {} operations resume here"


def columns(hosts: Hosts, volume: Record) -> list[object]:
    """Return the columns of a volume that an extension writes."""
    row = hosts.records.volumes.get(volume.id)
    return [row.status, row.size, row.previous_status, row.updated_at]


def test_an_operation_inside_a_driver_call_is_resumed_by_the_other_host(hosts: Hosts) -> None:
    first, second = hosts.start("h1", "h2")
    volume = hosts.volume_inside("h1")
    epoch = hosts.slot("h1").epoch

    killed = hosts.kill("h1")
    second.wait_for_log(ADOPTED.format(1))
    taken = time.monotonic() - killed
    hosts.open_gate()
    hosts.wait_status(volume, "available")

    assert hosts.records.volumes.get(volume.id).size == 2
    assert taken < 20
    first.launch()
    first.wait_for_notice("READY=1")
    assert hosts.slot("h1").epoch > epoch + 1
    assert "operations were adopted by h2@b1/0" in first.text()


def test_a_frozen_host_is_dead_before_its_operations_are_adopted(hosts: Hosts) -> None:
    first, second = hosts.start("h1", "h2")
    volume = hosts.volume_inside("h1")
    process = first.process
    assert process is not None

    hosts.freeze("h1")
    until(lambda: process.returncode is not None, 30, "the end of the frozen host")
    owner = hosts.slot("h1").owner
    second.wait_for_log(ADOPTED.format(1))
    hosts.open_gate()
    hosts.wait_status(volume, "available")

    assert owner is not None  # it died before another one took the slot
    assert "adopts slot" not in first.text()


def test_a_host_that_thaws_after_the_takeover_changes_nothing(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its timer is switched off here: the fence alone stops it."""
    monkeypatch.setenv(WITHOUT_TIMER, "1")
    (first,) = hosts.start("h1")
    monkeypatch.delenv(WITHOUT_TIMER)
    (second,) = hosts.start("h2")
    hosts.wait_armed("h1", "h2")
    volume = hosts.volume_inside("h1")
    process = first.process
    assert process is not None

    hosts.freeze("h1")
    second.wait_for_log(ADOPTED.format(1))
    hosts.open_gate()
    hosts.wait_status(volume, "available")
    until(lambda: {one.state for one in hosts.journal.entries()} == {"SUCCESS"}, 30, "the end")
    before = (hosts.journal.entries(), columns(hosts, volume))
    after = first.position()
    process.send(signal.SIGCONT)
    until(lambda: process.returncode is not None, 30, "the end of the thawed host")

    assert (hosts.journal.entries(), columns(hosts, volume)) == before
    first.wait_for_log("this process ends at once, and undoes nothing", after=after)


@pytest.mark.parametrize("kind", ["mysql"])
def test_a_drained_host_leaves_its_operations_at_once_and_idles(
    kind: str,
    volume_service: Callable[..., Service],
    rabbit_url: str,
    new_database: Callable[[str], str],
    tmp_path: Path,
) -> None:
    hosts = Hosts(volume_service, rabbit_url, new_database(kind), tmp_path, LONG)
    first, _second = hosts.start("h1", "h2", executor_thread_pool_size=1)
    one, two = hosts.volume("h1"), hosts.volume("h1")
    hosts.extend("h1", one)
    hosts.wait_inside("h1")
    hosts.extend("h1", two)  # waits for the only thread

    asked = threading.Thread(target=hosts.command, args=("h1", "host", "drain", "h1", "--wait"))
    asked.start()
    first.wait_for_log("h1@b1/0 is drained")
    listed = hosts.command("h2", "slot", "list", "-f", "json")
    hosts.open_gate()
    hosts.wait_status(one, "available")
    hosts.wait_status(two, "available")
    asked.join(60)

    shown = {row["slot"]: row for row in json.loads(listed.stdout)}
    assert (shown["h1@b1/0"]["state"], shown["h1@b1/0"]["operations"]) == ("armed", 2)
    assert hosts.slot("h1").is_free
    assert hosts.slot("h1").adopted_by == "h2@b1/0"
    assert hosts.records.volumes.get(two.id).size == 2
    first.wait_for_notice("STATUS=drained by an operator, takes no operations until a restart")
    assert first.process is not None
    first.process.send(signal.SIGTERM)
    assert first.process.wait(60) == 0
    hosts.close()


def test_an_outage_ends_the_hosts_and_interrupts_no_operation(
    servers: Servers,
    volume_service: Callable[..., Service],
    rabbit_url: str,
    new_database: Callable[[str], str],
    tmp_path: Path,
) -> None:
    """Neither host can act after its lease; each one gets its own slot back."""
    hosts = Hosts(volume_service, rabbit_url, new_database("mysql"), tmp_path)
    both = hosts.start("h1", "h2")
    volume = hosts.volume_inside("h1")
    processes = [one.process for one in both if one.process is not None]

    servers.mariadb.freeze()
    try:
        until(lambda: all(one.returncode is not None for one in processes), 30, "both ends")
    finally:
        servers.mariadb.thaw()
    for one in both:
        one.launch()
    hosts.open_gate()
    hosts.wait_status(volume, "available")
    until(lambda: {one.state for one in hosts.journal.entries()} == {"SUCCESS"}, 30, "the end")

    assert "its lease could not be renewed; its operations count as stopped" in both[0].text()
    assert {one.resumes for one in hosts.journal.entries()} == {0}
    hosts.close()


def test_a_stop_inside_a_driver_call_is_adopted_after_the_end_of_the_process(
    volume_service: Callable[..., Service],
    rabbit_url: str,
    new_database: Callable[[str], str],
    tmp_path: Path,
) -> None:
    hosts = Hosts(volume_service, rabbit_url, new_database("mysql"), tmp_path, LONG)
    first, second = hosts.start("h1", "h2", graceful_shutdown_timeout=1)
    volume = hosts.volume_inside("h1")
    process = first.process
    assert process is not None

    process.send(signal.SIGTERM)
    assert process.wait(60) == 0
    assert "adopts slot h1@b1/0" not in second.text()
    second.wait_for_log(ADOPTED.format(1))
    hosts.open_gate()
    hosts.wait_status(volume, "available")
    until(lambda: {one.state for one in hosts.journal.entries()} == {"SUCCESS"}, 30, "the end")

    assert {one.resumes for one in hosts.journal.entries()} == {0}
    hosts.close()
