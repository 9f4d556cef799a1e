# SPDX-License-Identifier: Apache-2.0
"""Backups in a store that speaks S3, and in one that fails."""

from __future__ import annotations

import http.server
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.backup.s3 import S3Driver
from drivers.interface.errors import BackupDamaged, BackupDriverException
from tests.backups import MIB, Metadata, Rows, scribble, settings
from tests.conftest import require
from tests.functional.backups.conftest import running
from tests.servers import S3, Broker, Servers

SIZE = 24 * MIB


@pytest.fixture(scope="session")
def store(servers: Servers) -> S3:
    require(S3)
    return servers.s3


def options(url: str, **changes: Any) -> dict[str, Any]:
    return {
        "backup_s3_endpoint_url": url,
        "backup_s3_store_access_key": "S3RVER",
        "backup_s3_store_secret_key": "S3RVER",
        "backup_s3_store_bucket": "holdfast-test",
        "backup_s3_object_size": 32768 * 400,
        "backup_s3_retry_max_attempts": 1,
        "backup_s3_timeout": 5.0,
        **changes,
    }


def driver(root: Path, url: str, **changes: Any) -> S3Driver:
    made = S3Driver(settings(root, S3Driver, **options(url, **changes)), metadata=Metadata())
    made.check_for_setup_error()
    return made


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    scribble(path, random.Random(5), SIZE, writes=30)
    return path


class TestStore:
    @pytest.mark.parametrize("compression", ["zlib", "none"])
    def test_a_chain_goes_round(
        self, tmp_path: Path, store: S3, volume: Path, compression: str
    ) -> None:
        made, rows = driver(tmp_path, store.url, backup_compression_algorithm=compression), Rows()
        full = rows.new()
        rows.back_up(made, full, volume)
        scribble(volume, random.Random(6), SIZE)
        leaf = rows.new(full)
        rows.back_up(made, leaf, volume)
        prefix = full["service_metadata"]
        assert prefix.startswith(f"volume_{full['volume_id']}/")
        assert prefix.endswith(f"/az_nova_backup_{full['id']}")
        target = tmp_path / "target"
        target.write_bytes(bytes(SIZE))
        rows.restore(made, leaf, target)
        assert target.read_bytes() == volume.read_bytes()
        made.verify(rows.record(leaf))
        for row in (leaf, full):
            made.delete_backup(rows.record(row))
            assert made._store.names("holdfast-test", row["service_metadata"]) == {}

    def test_a_lost_object_is_named(self, tmp_path: Path, store: S3, volume: Path) -> None:
        made, rows = driver(tmp_path, store.url), Rows()
        row = rows.new()
        rows.back_up(made, row, volume)
        gone = f"{row['service_metadata']}-00002"
        made._store.delete("holdfast-test", gone)
        target = tmp_path / "target"
        target.write_bytes(bytes(SIZE))
        with pytest.raises(BackupDamaged, match=gone):
            rows.restore(made, row, target)
        with pytest.raises(BackupDamaged, match=gone):
            made.verify(rows.record(row))

    @pytest.mark.parametrize("container", ["..", "a/b", "a b", "a\n"])
    def test_a_container_that_is_no_bucket(self, tmp_path: Path, store: S3, container: str) -> None:
        made, rows = driver(tmp_path, store.url), Rows()
        with pytest.raises(BackupDriverException, match="is no name of a bucket"):
            made.place(rows.record(rows.new(container=container)))

    def test_wrong_keys_are_told_at_the_start(self, tmp_path: Path, store: S3) -> None:
        with pytest.raises(BackupDriverException, match=r"bucket holdfast-test: ClientError"):
            driver(tmp_path, store.url, backup_s3_store_access_key="wrong")


class Failing(http.server.BaseHTTPRequestHandler):
    """A store that answers nothing but 500."""

    def _fail(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_error(500)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _fail

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def failing() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class TestFailures:
    def test_a_store_that_answers_500(self, tmp_path: Path, failing: str) -> None:
        with pytest.raises(BackupDriverException, match="cannot use bucket holdfast-test"):
            driver(tmp_path, failing)

    def test_a_store_that_never_answers(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(BackupDriverException, match="ReadTimeout"):
                driver(tmp_path, url, backup_s3_timeout=0.3, backup_s3_retry_max_attempts=0)

    def test_a_store_that_goes_away_ends_the_backup(
        self, tmp_path: Path, servers: Servers, volume: Path
    ) -> None:
        require(S3)
        own = S3(tmp_path / "s3")
        own.start()
        try:
            made, rows = driver(tmp_path, own.url, backup_s3_timeout=1.0), Rows()
            good = rows.new()
            rows.back_up(made, good, volume)
            own.stop()
            row = rows.new()
            with pytest.raises(BackupDriverException, match="ConnectionError|EndpointConnection"):
                rows.back_up(made, row, volume)
            own.start()
            rows.back_up(made, row, volume)  # and a second try completes it
            target = tmp_path / "target"
            target.write_bytes(bytes(SIZE))
            for one in (good, row):
                rows.restore(made, one, target)
                assert target.read_bytes() == volume.read_bytes()
        finally:
            own.stop()


def test_the_service_keeps_backups_there(broker: Broker, store: S3, tmp_path: Path) -> None:
    cinders = "cinder.backup.drivers.s3.S3BackupDriver"
    more = {"backup_driver": cinders, **options(store.url)}
    with running(broker, tmp_path, **more) as cloud:
        volume = cloud.filled(51)
        backup = cloud.made(volume)
        assert (backup.service, backup.container) == (cinders, "holdfast-test")
        target = cloud.filled(52)
        cloud.restore(backup, target)
        cloud.wait_status(target, "available")
        assert cloud.same(volume, target)
