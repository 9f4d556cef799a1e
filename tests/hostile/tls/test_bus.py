# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ over TLS with certificates of each kind.

py-amqp takes no list of revoked certificates.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require
from tests.functional.cloud import with_tables
from tests.functional.service import Service, services
from tests.hostile.tls import encrypted
from tests.hostile.tls.certificates import Certificates
from tests.servers import Broker, Servers, until

WRONG = {
    "wrong-host": "IP address mismatch, certificate is not valid for '127.0.0.1'",
    "expired": "certificate has expired",
    "unknown-authority": "unable to get local issuer certificate",
}

OFTEN = {"rabbit_retry_interval": 1, "rabbit_retry_backoff": 0, "rabbit_interval_max": 1}
"""An attempt in each second."""


def made(make: Callable[..., Service], place: Path, bus: str, **rabbit: Any) -> Service:
    database = f"sqlite:///{place}/cinder.sqlite"
    with_tables(database).dispose()
    known = {"ssl": True, **rabbit}
    return make(bus=bus, database=database, sections={"oslo_messaging_rabbit": known})


def test_a_right_certificate_is_accepted(
    servers: Servers, certificates: Certificates, tmp_path: Path
) -> None:
    require(Broker)
    bus, context = servers.broker.vhost(), certificates.server_context("right")
    with (
        encrypted.in_front_of(servers.broker.port, context) as front,
        services(tmp_path, forked=True) as make,
    ):
        bus = bus.replace(f":{servers.broker.port}/", f":{front.port}/")
        service = made(make, tmp_path, bus, ssl_ca_file=certificates.ca)
        service.start()

        assert "BROKER IS NOT VERIFIED" not in service.log.read_text()
        assert service.stop() == 0


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_certificate_is_waited_for(
    certificates: Certificates, tmp_path: Path, kind: str
) -> None:
    context = certificates.server_context(kind)
    with (
        encrypted.in_front_of(1, context) as front,
        services(tmp_path, forked=True) as make,
    ):
        bus = f"rabbit://guest:guest@127.0.0.1:{front.port}/"
        service = made(make, tmp_path, bus, ssl_ca_file=certificates.ca, **OFTEN)
        service.launch()
        service.wait_for_log("certificate of the server is refused", 60)
        seen = front.connections
        until(lambda: front.connections > seen + 1, 60, "further attempts, which log nothing")
        log = service.log.read_text()
        lines = [
            one for one in log.splitlines() if "CERTIFICATE" in one or "the certificate" in one
        ]
        assert len(lines) == 1, lines
        line = lines[0]

        assert f"refused: {WRONG[kind]}; check it, and [oslo_messaging_rabbit] ssl_ca_file" in line
        assert "Traceback" not in log
        assert "takes operations" not in log
        assert "STATUS=waits for the message bus" in service.notices()
        assert service.stop() == 0


def test_a_broker_that_is_not_verified_is_warned_of(
    certificates: Certificates, tmp_path: Path
) -> None:
    with services(tmp_path, forked=True) as make:
        service = made(make, tmp_path, "rabbit://guest:guest@127.0.0.1:1/")
        service.launch()
        service.wait_for_log("THE BROKER IS NOT VERIFIED", 60)
