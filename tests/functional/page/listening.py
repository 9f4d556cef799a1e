# SPDX-License-Identifier: Apache-2.0
"""A listener with pages over some content, whose service is only a snapshot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.unit.page.content import Content
from worker.listen_address import Address
from worker.service.monitoring.http_listener import MonitorListener
from worker.service.monitoring.pages import Pages
from worker.service.monitoring.people.page_process import PageProcess
from worker.service.monitoring.people.visitors import Visitors
from worker.service.monitoring.shared_snapshot import SharedSnapshot


@contextmanager
def listener(content: Content) -> Iterator[str]:
    """Listen at a port of the loopback device; give the address."""
    place = SharedSnapshot()
    place.write(content.state()["processes"][0])
    pages = Pages("holdfast-volume", [place])
    people = Visitors(pages, PageProcess(content.conf))
    server = MonitorListener(Address(("127.0.0.1", 0)), pages, None, people).prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.bind_addr[1]}"
    finally:
        server.stop()
        people.close()
        thread.join()
