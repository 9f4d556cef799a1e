# SPDX-License-Identifier: Apache-2.0
"""The operations of a dead host are resumed by a living one, and by no other."""

from __future__ import annotations

import time

from tests.functional.slots.hosts import Hosts


def test_an_operation_inside_a_driver_call_is_resumed_by_the_other_host(hosts: Hosts) -> None:
    first, second = hosts.start("h1", "h2")
    volume = hosts.volume("h1")
    hosts.extend("h1", volume)
    epoch = hosts.slot("h1").epoch

    killed = hosts.kill("h1")
    second.wait_for_log(r"h2@b1/0 adopts slot h1@b1/0.* 1 operations resume here")
    taken = time.monotonic() - killed
    hosts.open_gate()
    hosts.wait_status(volume, "available")

    assert hosts.records.volumes.get(volume.id).size == 2
    assert taken < 12
    first.launch()
    first.wait_for_notice("READY=1")
    assert hosts.slot("h1").epoch > epoch + 1
    assert "operations were adopted by h2@b1/0" in first.text()
