# SPDX-License-Identifier: Apache-2.0
"""The backup drivers of this repository, with small objects and with their servers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drivers.backup.ceph import binding
from drivers.backup.ceph.ceph_driver import CephDriver
from drivers.backup.posix import PosixDriver
from drivers.backup.s3 import S3Driver
from drivers.backup.swift import SwiftDriver
from tests import ceph
from tests.backups import BLOCK, Metadata, settings
from tests.conftest import require
from tests.servers import S3, Servers, Swift, swift

_OF_S3 = {
    "backup_s3_store_access_key": "S3RVER",
    "backup_s3_store_secret_key": "S3RVER",
    "backup_s3_store_bucket": "conformance",
    "backup_s3_object_size": 64 * BLOCK,
    "backup_s3_block_size": BLOCK,
}

_OF_SWIFT = {
    "backup_swift_auth": "single_user",
    "backup_swift_user": swift.USER,
    "backup_swift_key": swift.KEY,
    "backup_swift_object_size": 64 * BLOCK,
    "backup_swift_block_size": BLOCK,
    "backup_swift_retry_attempts": 1,
}


def _posix(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {}


def _s3(request: pytest.FixtureRequest) -> dict[str, Any]:
    servers: Servers = request.getfixturevalue("servers")
    require(S3)
    return {**_OF_S3, "backup_s3_endpoint_url": servers.s3.url}


def _swift(request: pytest.FixtureRequest) -> dict[str, Any]:
    servers: Servers = request.getfixturevalue("servers")
    require(Swift)
    return {**_OF_SWIFT, "backup_swift_auth_url": servers.swift.auth_url}


def _ceph(request: pytest.FixtureRequest) -> dict[str, Any]:
    request.getfixturevalue("monkeypatch").setattr(binding, "load", lambda: ceph.MODULES)
    directory = contextlib.ExitStack()
    request.addfinalizer(directory.close)
    conf = ceph.cluster(directory.enter_context(ceph.in_memory()), "backups")
    return {"backup_ceph_conf": str(conf)}


@dataclass(frozen=True)
class OwnStore:
    """A driver, and the function that returns its options once its server runs.

    :param size: bytes of its volumes: six objects, since most of the time goes into requests.
    """

    name: str
    driver: type
    login: Callable[[pytest.FixtureRequest], Mapping[str, Any]]
    points: int = 0
    size: int = 6 * 64 * BLOCK
    ignored: tuple[str, ...] = ()

    def prepare(self, request: pytest.FixtureRequest, place: Path) -> Callable[[], Any]:
        """Return a function that returns another instance, as of another process."""
        options = settings(place, self.driver, **self.login(request))
        return lambda: self.driver(options, metadata=Metadata())


CASES = (
    OwnStore("posix", PosixDriver, _posix, points=3),
    OwnStore("ceph", CephDriver, _ceph, points=3),
    OwnStore("s3", S3Driver, _s3),
    OwnStore("swift", SwiftDriver, _swift),
)
