# SPDX-License-Identifier: Apache-2.0
"""The name of a store, by which hosts know that theirs is the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.backup.nfs import NfsDriver
from drivers.backup.posix import PosixDriver
from drivers.backup.s3 import S3Driver
from drivers.backup.stores.shared_directory import shared_name
from drivers.backup.swift import SwiftDriver

MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:40 / /srv/nfs rw - nfs4 filer:/export rw
24 22 0:41 /sub\\040dir /srv/bound rw shared:7 - nfs4 filer:/export rw
25 22 8:2 / /srv/nfs/local rw - xfs /dev/sdb1 rw
26 22 0:42 / /srv/ceph rw - ceph 192.0.2.1:6789,192.0.2.2:6789:/backups rw
"""


def options(kind: Any, **changes: Any) -> Any:
    return SimpleNamespace(**{**{opt.dest: opt.default for opt in kind.OPTS}, **changes})


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/srv/nfs", "filer:/export/"),
        ("/srv/nfs/backups", "filer:/export/backups"),
        ("/srv/nfsother", None),
        ("/srv/bound/x", "filer:/export/sub dir/x"),
        ("/srv/nfs/local/x", None),
        ("/srv/ceph/x", "192.0.2.1:6789,192.0.2.2:6789:/backups/x"),
        ("/var/lib", None),
    ],
)
def test_a_directory_is_named_by_its_share(tmp_path: Path, path: str, name: str | None) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)

    assert shared_name(Path(path), mounts) == name


def test_a_local_directory_is_shared_where_the_operator_says_so(tmp_path: Path) -> None:
    place = {"backup_posix_path": str(tmp_path)}
    assert PosixDriver.shared_place(options(PosixDriver, **place)) is None
    place["backup_posix_path_shared"] = True
    assert PosixDriver.shared_place(options(PosixDriver, **place)) == str(tmp_path)


def test_a_share_is_its_name() -> None:
    assert NfsDriver.shared_place(options(NfsDriver, backup_share="filer:/b/")) == "filer:/b"
    assert NfsDriver.shared_place(options(NfsDriver)) is None


def test_a_bucket_is_named_with_its_endpoint_and_account() -> None:
    def place(**changes: Any) -> str | None:
        given = {
            "backup_s3_endpoint_url": "https://key:word@s3.example.org/",
            "backup_s3_store_access_key": "a",
        }
        return S3Driver.shared_place(options(S3Driver, **{**given, **changes}))

    found = place()
    assert found is not None
    assert found.startswith("https://s3.example.org/volumebackups (")
    others = [
        {"backup_s3_endpoint_url": "https://other.example.org"},
        {"backup_s3_store_bucket": "other"},
        {"backup_s3_store_access_key": "b"},
    ]
    assert found == place()
    assert all(place(**one) != found for one in others)


def test_a_container_of_swift_is_named_with_its_account() -> None:
    def place(**changes: Any) -> str | None:
        given = {"backup_swift_auth_url": "https://k.example.org/v3", "backup_swift_user": "u"}
        given |= {"backup_swift_auth": "single_user"}
        return SwiftDriver.shared_place(options(SwiftDriver, **{**given, **changes}))

    assert place() == "https://k.example.org/v3/volumebackups (u)"
    assert place(backup_swift_project="p") == "https://k.example.org/v3/volumebackups (p u)"
    assert place(backup_swift_auth_url=None) is None
    assert place(backup_swift_auth="per_user") is None
