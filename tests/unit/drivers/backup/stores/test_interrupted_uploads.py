# SPDX-License-Identifier: Apache-2.0
"""Uploads in parts that ended with their process are aborted by the next try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from drivers.backup.s3 import S3Driver, S3Store
from tests.backups import settings

PREFIX = "volume_1/20260101000000/az_nova_backup_2"
BUCKET = "backups"


@pytest.fixture
def store(tmp_path: Path) -> S3Store:
    own = {"backup_s3_endpoint_url": "http://127.0.0.1:1", "backup_s3_store_access_key": "k"}
    more = {"backup_s3_store_secret_key": "s", "backup_s3_store_bucket": BUCKET}
    return S3Store(settings(tmp_path, S3Driver, **own, **more))


def uploads(*keys: str) -> dict[str, Any]:
    return {"Uploads": [{"Key": key, "UploadId": f"of {key}"} for key in keys]}


def test_only_those_of_the_backup(store: S3Store) -> None:
    mine, longer = f"{PREFIX}-00001", f"{PREFIX}0-00001"
    with Stubber(store._client) as answers:
        asked = {"Bucket": BUCKET, "Prefix": PREFIX}
        answers.add_response("list_multipart_uploads", uploads(mine, longer), asked)
        aborted = {"Bucket": BUCKET, "Key": mine, "UploadId": f"of {mine}"}
        answers.add_response("abort_multipart_upload", {}, aborted)
        store.remove_unfinished(BUCKET, PREFIX)
        answers.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "warned"),
    [("NotImplemented", False), ("NoSuchBucket", False), ("AccessDenied", True)],
)
def test_a_store_that_cannot_list_them_fails_no_backup(
    store: S3Store, caplog: pytest.LogCaptureFixture, code: str, warned: bool
) -> None:
    with Stubber(store._client) as answers:
        answers.add_client_error("list_multipart_uploads", code)
        store.remove_unfinished(BUCKET, PREFIX)
    assert bool(caplog.records) is warned
    assert not warned or PREFIX in caplog.text
