# SPDX-License-Identifier: Apache-2.0
"""Common parts of stores of objects in buckets."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator

from oslo_utils import timeutils

from drivers import tls_errors
from drivers.backup.stores.object_store import ContainerMissing, Missing, ObjectStore, StoreError
from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record

LOG = logging.getLogger(__name__)


class BucketStore(ObjectStore):
    """Objects in buckets, in which a name may have slashes.

    :param bucket: for backups that name none.
    """

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    def check(self) -> None:
        """Write, read and remove an object."""
        try:
            self.prepare(self.bucket)
        except ContainerMissing as error:
            LOG.warning("%s; until then backups that name no container fail", error)
            return
        name, marker = f".holdfast-{secrets.token_hex(8)}", secrets.token_bytes(64)
        with self.writing(self.bucket, name) as sink:
            sink.write(marker)
        found = b"".join(self.reading(self.bucket, name))
        self.delete(self.bucket, name)
        if found != marker:
            raise StoreError(f"{self.bucket} does not keep written data")

    def containers(self) -> Iterable[str]:
        """Return the bucket of the options."""
        return (self.bucket,)

    def prefix(self, backup: Record) -> str:
        """Return a name of volume, moment, zone and backup, as Cinder has it."""
        now = timeutils.utcnow()
        zone = backup.availability_zone or "nova"
        return f"volume_{backup.volume_id}/{now:%Y%m%d%H%M%S}/az_{zone}_backup_{backup.id}"


def without_login(url: str) -> str:
    """Return a URL without user, password and a final slash."""
    scheme, _, rest = url.rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}".rstrip("/").removeprefix("://")


@contextlib.contextmanager
def explained(
    action: str, where: str, absent: Callable[[Exception], bool], authority: str
) -> Iterator[None]:
    """Turn whatever a client's library raises into one of our errors.

    :param action: the action, as "read".
    :param where: it is done, as "bucket b".
    :param absent: whether an error of the library says that it is not there.
    :param authority: the option that names the authority of the store's certificate.
    :raises Missing: it is not there.
    :raises StoreError: anything else failed.
    """
    try:
        yield
    except BackupDriverException:
        raise
    except Exception as error:
        if absent(error):
            raise Missing(f"{where} is missing") from error
        reason = tls_errors.refusal(error, authority) or f"{type(error).__name__}: {error}"
        raise StoreError(f"cannot {action} {where}: {reason}") from error
