# SPDX-License-Identifier: Apache-2.0
"""Redis and etcd, as servers of locks, over TLS with certificates of each kind.

No client of these has a list of revoked certificates.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require
from tests.functional.cloud import with_tables
from tests.functional.service import services
from tests.hostile.tls import encrypted
from tests.hostile.tls.certificates import Certificates
from tests.servers.server import Server
from tests.servers.several.etcd import Etcd
from tests.servers.several.redis import Redis
from worker.locks import Locks, LocksUnavailable

WRONG = {
    "wrong-host": "IP address mismatch, certificate is not valid for '127.0.0.1'",
    "expired": "certificate has expired",
    "unknown-authority": "unable to get local issuer certificate",
}
URLS = {
    Redis: "redis://127.0.0.1:{port}?ssl=true&ssl_ca_certs={authority}",
    Etcd: "etcd3+https://127.0.0.1:{port}?ca_cert={authority}",
}


@pytest.fixture(scope="module", params=list(URLS), ids=lambda kind: kind.name)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    pytest.importorskip("redis" if request.param is Redis else "etcd3gw")
    require(request.param)
    made: Server = request.param(tmp_path_factory.mktemp("locks") / "server")
    made.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _own_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    """The authorities of the environment replace that of a session of requests."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def url(server: Server, port: int, authority: Path) -> str:
    return URLS[type(server)].format(port=port, authority=authority)


def test_a_right_certificate_is_accepted(server: Server, certificates: Certificates) -> None:
    with encrypted.in_front_of(server.port, certificates.server_context("right")) as front:
        locks = Locks(url(server, front.port, certificates.ca), "member")
        locks.start()
        with locks.held(["name"]):
            other = Locks(url(server, front.port, certificates.ca), "other")
            other.start()
            assert not other.try_hold("name")
        assert other.try_hold("name")
        other.stop()
        locks.stop()


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_certificate_is_refused(
    server: Server, certificates: Certificates, kind: str
) -> None:
    with encrypted.in_front_of(server.port, certificates.server_context(kind)) as front:
        locks = Locks(url(server, front.port, certificates.ca), "member")
        with pytest.raises(LocksUnavailable) as caught:
            locks.start()

    options = "ca_cert (etcd) or ssl_ca_certs (Redis) in [coordination] backend_url"
    text = f"the certificate of the server is refused: {WRONG[kind]}; check it, and {options}"
    assert str(caught.value) == text


def test_a_service_waits_for_a_right_one(
    server: Server, certificates: Certificates, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path}/cinder.sqlite"
    with_tables(database).dispose()
    with (
        encrypted.in_front_of(server.port, certificates.server_context("expired")) as front,
        services(tmp_path, forked=True) as make,
    ):
        place = {"backend_url": url(server, front.port, certificates.ca)}
        service = make(
            bus="rabbit://guest:guest@127.0.0.1:1/",
            database=database,
            sections={"coordination": place},
        )
        service.launch()
        service.wait_for_log("the start waits for the server of the locks", 60)
        log = service.log.read_text()

        assert "refused: certificate has expired; check it, and ca_cert (etcd) or" in log
        assert "Traceback" not in log
        assert "READY=1" not in service.notices()
        assert service.stop() == 0
