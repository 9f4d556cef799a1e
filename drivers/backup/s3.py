# SPDX-License-Identifier: Apache-2.0
"""Backups in a bucket of any store that speaks S3."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from oslo_config import cfg
from oslo_utils import units

from drivers.backup import options
from drivers.backup.chunked import ChunkedDriver
from drivers.backup.format.layout import is_own_name
from drivers.backup.stores.bucket_store import BucketStore, explained, without_login
from drivers.backup.stores.object_store import PART, Missing, ObjectStore, StoreError
from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record

LOG = logging.getLogger(__name__)

_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
"""Names that boto3 sends; the store decides which of them it takes."""

_PART_SIZE = 8 * units.Mi
"""Bytes that are sent together; an object of no more than that is one request."""

_ABSENT = ("404", "NoSuchKey", "NoSuchBucket", "NotFound")

_UNSUPPORTED = ("501", "NotImplemented", "405", "MethodNotAllowed")

_TOO_LARGE = ("InvalidRequest", "EntityTooLarge")
"""Codes for an object of more than 5 GiB, which is no source of one copy."""


class S3Driver(ChunkedDriver):
    """Backups as objects in buckets."""

    OPTS: ClassVar[list[cfg.Opt]] = [*options.CHUNKED, *options.S3]

    object_size = "backup_s3_object_size"
    block_size = "backup_s3_block_size"

    @classmethod
    def shared_place(cls, configuration: Any) -> str | None:
        """Return the endpoint, the bucket and a fingerprint of the account's access key.

        Accounts of some stores have buckets of the same name.
        """
        endpoint = str(configuration.backup_s3_endpoint_url or configuration.backup_s3_region)
        key = str(configuration.backup_s3_store_access_key or "").encode()
        account = hashlib.sha256(key).hexdigest()[:8]
        bucket = configuration.backup_s3_store_bucket
        return f"{without_login(endpoint)}/{bucket} ({account})"

    def make_store(self) -> ObjectStore:
        """Return the bucket."""
        return S3Store(self.configuration)


class S3Store(BucketStore):
    """Objects of a store that speaks S3; boto3 makes requests from several threads."""

    def __init__(self, configuration: Any) -> None:
        super().__init__(configuration.backup_s3_store_bucket)
        self._md5 = configuration.backup_s3_md5_validation
        self._encryption: dict[str, str] = {}
        if configuration.backup_s3_sse_customer_key:
            self._encryption = {
                "SSECustomerKey": configuration.backup_s3_sse_customer_key,
                "SSECustomerAlgorithm": configuration.backup_s3_sse_customer_algorithm or "AES256",
            }
        self._client = _client(configuration)

    def container(self, backup: Record) -> str:
        """Return the bucket of the row, or that of the options."""
        found = backup.container or self.bucket
        valid = isinstance(found, str) and _BUCKET.fullmatch(found)
        if not valid or found in (".", ".."):
            raise BackupDriverException(f"the container {found!r:.80} is no name of a bucket")
        return found

    def prepare(self, container: str) -> None:
        """Make a bucket where it is missing."""
        with _explained("use", container, ""):
            try:
                self._client.head_bucket(Bucket=container)
            except Exception as error:
                if _code(error) not in _ABSENT:
                    raise
                self.require_creation(container)
                self._client.create_bucket(Bucket=container)

    def listed(self, container: str, prefix: str) -> Iterator[tuple[str, int]]:
        """Ask for a list, page after page."""
        with contextlib.suppress(Missing), _explained("list", container, prefix):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=container, Prefix=prefix):
                for one in page.get("Contents", ()):
                    yield str(one["Key"]), int(one["Size"])

    @contextlib.contextmanager
    def writing(self, container: str, name: str) -> Iterator[_MultipartUpload]:
        """Send an object, in parts if it is large; it appears when all is there."""
        upload = _MultipartUpload(self._client, container, name, self._encryption, md5=self._md5)
        try:
            yield upload
            with _explained("write", container, name):
                upload.finish()
        except BaseException:
            upload.abort()
            raise

    def reading(self, container: str, name: str) -> Iterator[bytes]:
        """Fetch an object."""
        with _explained("read", container, name):
            found = self._client.get_object(Bucket=container, Key=name, **self._encryption)
            with contextlib.closing(found["Body"]) as body:
                while part := body.read(PART):
                    yield part

    def copy(self, container: str, name: str, into: str, to: str) -> None:
        """Have the store copy an object; one that it cannot copy is read and written."""
        source = {"Bucket": container, "Key": name}
        key = {f"CopySource{option}": value for option, value in self._encryption.items()}
        try:
            with _explained("copy", container, name):
                self._client.copy_object(
                    Bucket=into, Key=to, CopySource=source, **self._encryption, **key
                )
        except StoreError as error:
            if _code(error.__cause__) not in (*_UNSUPPORTED, *_TOO_LARGE):
                raise
            super().copy(container, name, into, to)

    def delete(self, container: str, name: str) -> None:
        """Remove an object; S3 has no error for one that is absent."""
        with contextlib.suppress(Missing), _explained("delete", container, name):
            self._client.delete_object(Bucket=container, Key=name)

    def remove_unfinished(self, container: str, prefix: str, backup_id: str = "") -> None:
        """Abort uploads in parts, which take room that no list of objects shows.

        Some stores cannot list uploads; the backup does not fail for that.
        """
        try:
            with _explained("abort uploads of", container, prefix):
                pages = self._client.get_paginator("list_multipart_uploads")
                for page in pages.paginate(Bucket=container, Prefix=prefix):
                    for one in page.get("Uploads", ()):
                        if is_own_name(prefix, str(one["Key"]), backup_id):
                            where = {"Bucket": container, "Key": one["Key"]}
                            self._client.abort_multipart_upload(**where, UploadId=one["UploadId"])
        except Missing:
            return
        except StoreError as error:
            if _code(error.__cause__) not in _UNSUPPORTED:
                LOG.warning("interrupted uploads may remain: %s", error)


class _MultipartUpload:
    """An object that is being uploaded, in one request where it fits."""

    def __init__(
        self, client: Any, bucket: str, name: str, encryption: Mapping[str, str], *, md5: bool
    ) -> None:
        self._client = client
        self._where = {"Bucket": bucket, "Key": name}
        self._encryption = dict(encryption)
        self._md5 = md5
        self._held = bytearray()
        self._upload: str | None = None
        self._parts: list[dict[str, Any]] = []

    def write(self, data: bytes | memoryview) -> None:
        """Append data."""
        self._held += data
        if len(self._held) >= _PART_SIZE:
            with _explained("write", self._where["Bucket"], self._where["Key"]):
                self._send()

    def finish(self) -> None:
        """Send the rest, and have the object appear."""
        if self._upload is None:
            body = bytes(self._held)
            self._client.put_object(
                **self._where, Body=body, **self._checked(body), **self._encryption
            )
            return
        if self._held:
            self._send()
        self._client.complete_multipart_upload(
            **self._where, UploadId=self._upload, MultipartUpload={"Parts": self._parts}
        )

    def abort(self) -> None:
        """Give it up; the store forgets its parts."""
        if self._upload is not None:
            with contextlib.suppress(Exception):
                self._client.abort_multipart_upload(**self._where, UploadId=self._upload)

    def _send(self) -> None:
        if self._upload is None:
            begun = self._client.create_multipart_upload(**self._where, **self._encryption)
            self._upload = begun["UploadId"]
        body, self._held = bytes(self._held), bytearray()
        number = len(self._parts) + 1
        sent = self._client.upload_part(
            **self._where,
            UploadId=self._upload,
            PartNumber=number,
            Body=body,
            **self._checked(body),
            **self._encryption,
        )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def _checked(self, body: bytes) -> dict[str, str]:
        if not self._md5:
            return {}
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        return {"ContentMD5": base64.b64encode(digest).decode()}


def _client(configuration: Any) -> Any:
    """Make a client. :raises BackupDriverException: boto3 is not installed."""
    try:
        # Late: an optional library, which takes memory.
        from drivers.backup.stores import s3_client
    except ImportError as error:
        raise BackupDriverException("S3 needs boto3: pip install 'holdfast[s3]'") from error
    return s3_client.connect(configuration)


def _code(error: BaseException | None) -> str:
    answer = getattr(error, "response", None)
    found = answer.get("Error", {}) if isinstance(answer, Mapping) else {}
    return str(found.get("Code", ""))


def _explained(action: str, bucket: str, name: str) -> contextlib.AbstractContextManager[None]:
    """Turn whatever the library raises into one of our errors."""
    where = f"{name} in bucket {bucket}" if name else f"bucket {bucket}"
    return explained(action, where, lambda error: _code(error) in _ABSENT, "backup_s3_ca_cert_file")
