# SPDX-License-Identifier: Apache-2.0
"""Backups in containers of OpenStack's object store."""

from __future__ import annotations

import contextlib
import copy
import logging
import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from oslo_config import cfg

from drivers.backup import options
from drivers.backup.chunked import ChunkedDriver
from drivers.backup.stores.bucket_store import BucketStore, explained, without_login
from drivers.backup.stores.object_store import PART, Missing, ObjectStore, StoreError
from drivers.backup.stores.swift_account import (
    PER_USER,
    ServiceToken,
    UserAccount,
    account_of,
    catalog_entry,
)
from drivers.interface.errors import BackupDriverException
from drivers.interface.pace import Pace
from drivers.interface.records import Record

LOG = logging.getLogger(__name__)

_AHEAD = 8
"""Parts of an object that wait for the network."""

_PAGE = 1000
"""Names that are asked for at a time."""

_NO_COPY = (405, 413, 501)
"""Answers of a store without the method, or for an object of more than it copies."""

_END = b""

_PER_USER_LIMITS = (
    "backups lie in the accounts of users (backup_swift_auth = per_user): their tokens are not "
    "stored, so a restart ends running operations with an error, and other hosts, the audit and "
    "holdfast backup verify do not reach the backups"
)


class SwiftDriver(ChunkedDriver):
    """Backups as objects in containers.

    They lie in the account of the service, or in those of the users that ask for them: then only
    the instance of :meth:`for_request` reaches them.
    """

    OPTS: ClassVar[list[cfg.Opt]] = [*options.CHUNKED, *options.SWIFT]

    object_size = "backup_swift_object_size"
    block_size = "backup_swift_block_size"

    _store: SwiftStore

    @classmethod
    def shared_place(cls, configuration: Any) -> str | None:
        """Return the address, the account and the container.

        Accounts of users have no shared place: another host would need the token of the user.
        """
        if not configuration.backup_swift_auth_url or configuration.backup_swift_auth == PER_USER:
            return None
        account = (
            configuration.backup_swift_project_domain,
            configuration.backup_swift_project or configuration.backup_swift_tenant,
            configuration.backup_swift_user,
            configuration.backup_swift_region_name,
        )
        names = " ".join(str(part) for part in account if part)
        address = without_login(str(configuration.backup_swift_auth_url))
        return f"{address}/{configuration.backup_swift_container} ({names})"

    @classmethod
    def limits(cls, configuration: Any) -> str | None:
        """Say which operations need the token of a user."""
        return _PER_USER_LIMITS if configuration.backup_swift_auth == PER_USER else None

    def make_store(self) -> ObjectStore:
        """Return the store."""
        return SwiftStore(self.configuration)

    def for_request(self, request: Any, backup: Record) -> SwiftDriver:
        """Return a driver with the account of the user."""
        if self.configuration.backup_swift_auth != PER_USER:
            return self
        account = account_of(self.configuration, request, backup)
        made = copy.copy(self)
        made._store = SwiftStore(self.configuration, account, self._store.service_token)
        made._store.creates_containers = self._store.creates_containers
        return made

    def verify(self, backup: Record, *, pace: Pace = Pace()) -> None:  # noqa: B008
        """Read everything, in the account of the service."""
        self._store.require_account()
        super().verify(backup, pace=pace)

    def list_backups(self, containers: Iterable[str]) -> Iterator[str]:
        """Yield the id of each backup in the account of the service."""
        self._store.require_account()
        return super().list_backups(containers)


class SwiftStore(BucketStore):
    """Objects of a Swift; a connection is lent to one thread at a time.

    :param account: of a user; None for the account of the options, or for none.
    :param service_token: goes with the token of a user.
    """

    lists_at_once = False  # a busy Swift brings its lists up to date later

    def __init__(
        self,
        configuration: Any,
        account: UserAccount | None = None,
        service_token: ServiceToken | None = None,
    ) -> None:
        self._is_per_user = configuration.backup_swift_auth == PER_USER
        for name in () if self._is_per_user else ("backup_swift_auth_url", "backup_swift_user"):
            if not getattr(configuration, name):
                raise BackupDriverException(f"{name} is not set, which a login needs")
        self._configuration = configuration
        self._account = account
        self.service_token = service_token or ServiceToken(configuration)
        super().__init__(configuration.backup_swift_container)
        self._policy = configuration.backup_swift_create_storage_policy
        self._idle: deque[Any] = deque()
        _connections()

    def check(self) -> None:
        """Write, read and remove an object; or without an account ask for the capabilities."""
        if not self._is_per_user:
            super().check()
            return
        self.service_token.get()
        if not (address := self._configuration.backup_swift_url):
            catalog_entry(self._configuration)
            text = "whether Swift answers is not known before the first backup: %s"
            LOG.warning(
                text, "backup_swift_url is not set, so the catalogue of each request has it"
            )
            return
        with explained("ask", address, lambda _error: False, "backup_swift_ca_cert_file"):
            connection = self._connect(retries=self._configuration.backup_swift_retry_attempts)
            try:
                connection.get_capabilities(address)
            finally:
                connection.close()

    def require_account(self) -> None:
        """:raises NotImplementedError: objects are in accounts of users, of whom none asks."""
        if self._is_per_user and self._account is None:
            text = "backups lie in the accounts of users (backup_swift_auth = per_user)"
            raise NotImplementedError(f"{text}, which only a request of theirs reaches")

    def container(self, backup: Record) -> str:
        """Return the container of the row, or that of the options."""
        found = backup.container or self.bucket
        valid = isinstance(found, str) and 0 < len(found) <= 256 and "/" not in found
        if not valid or found in (".", ".."):
            raise BackupDriverException(f"the container {found!r:.80} is no name of one")
        if found.startswith(".") and not backup.service_metadata:  # Cinder takes any name
            raise BackupDriverException(f"the container {found!r:.80} is hidden")
        return found

    def prepare(self, container: str) -> None:
        """Make a container; one that is there stays as it is."""
        with _explained("use", container, ""):
            try:
                with self._connected() as connection:
                    connection.head_container(container)
            except Exception as error:
                if _status(error) != 404:
                    raise
                self.require_creation(container)
                headers = {"X-Storage-Policy": self._policy} if self._policy else None
                with self._connected() as connection:
                    connection.put_container(container, headers=headers)

    def listed(self, container: str, prefix: str) -> Iterator[tuple[str, int]]:
        """Ask for a list, page after page."""
        marker = ""
        with contextlib.suppress(Missing), _explained("list", container, prefix):
            while True:
                with self._connected() as connection:
                    _headers, page = connection.get_container(
                        container, prefix=prefix, marker=marker, limit=_PAGE
                    )
                if not page:
                    return
                for one in page:
                    yield str(one["name"]), int(one["bytes"])
                if str(page[-1]["name"]) <= marker:
                    raise StoreError(f"the list of container {container} does not end")
                marker = str(page[-1]["name"])

    @contextlib.contextmanager
    def writing(self, container: str, name: str) -> Iterator[_StreamedUpload]:
        """Send an object while it is written; half of one is thrown away by the store."""
        connection = self._make(retries=0)
        self._renew(connection)
        upload = _StreamedUpload(connection, container, name)
        try:
            yield upload
            with _explained("write", container, name):
                upload.finish()
        except BaseException:
            upload.abort()
            raise

    def reading(self, container: str, name: str) -> Iterator[bytes]:
        """Fetch an object."""
        with _explained("read", container, name), self._connected() as connection:
            _headers, body = connection.get_object(container, name, resp_chunk_size=PART)
            yield from (part for part in body if part)

    def copy(self, container: str, name: str, into: str, to: str) -> None:
        """Have the store copy an object; one that it cannot copy is read and written."""
        try:
            with _explained("copy", container, name), self._connected() as connection:
                connection.copy_object(container, name, destination=f"/{into}/{to}")
        except StoreError as error:
            if _status(error.__cause__ or error) not in _NO_COPY:
                raise
            super().copy(container, name, into, to)

    def delete(self, container: str, name: str) -> None:
        """Remove an object; absence is success."""
        with (
            contextlib.suppress(Missing),
            _explained("delete", container, name),
            self._connected() as connection,
        ):
            connection.delete_object(container, name)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        """Lend a connection that no other thread uses.

        The threads of a transfer end with it: a connection of each would stay open until the
        garbage collector finds it.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._make(self._configuration.backup_swift_retry_attempts)
        self._renew(connection)
        try:
            yield connection
        except BaseException:
            connection.close()  # the rest of an answer may wait in it
            raise
        finally:
            self._idle.append(connection)

    def _make(self, retries: int) -> Any:
        if self._is_per_user:
            if self._account is None:
                raise BackupDriverException(
                    "the account of a user in Swift is known from a request only, and there is none"
                )
            return self._connect(retries, account=(self._account.url, self._account.token))
        known = self._configuration
        domains = {
            "user_domain_name": known.backup_swift_user_domain,
            "project_domain_name": known.backup_swift_project_domain,
            "project_name": known.backup_swift_project,
            "region_name": known.backup_swift_region_name,
        }
        return self._connect(
            retries,
            authurl=known.backup_swift_auth_url,
            auth_version=known.backup_swift_auth_version,
            user=known.backup_swift_user,
            key=known.backup_swift_key,
            tenant_name=known.backup_swift_tenant,
            os_options={name: value for name, value in domains.items() if value},
        )

    def _renew(self, connection: Any) -> None:
        """Give a connection the present token of the service, which ends sooner than a backup."""
        if self._is_per_user:
            connection.service_token = self.service_token.get()

    def _connect(self, retries: int, **login: Any) -> Any:
        known = self._configuration
        return _connections().Connection(
            **login,
            retries=retries,
            starting_backoff=max(known.backup_swift_retry_backoff, 0.1),
            timeout=known.backup_swift_timeout,
            cacert=known.backup_swift_ca_cert_file,
            insecure=known.backup_swift_auth_insecure,
        )


class _Abort:
    """Queued in place of a part: the upload is aborted."""


class _StreamedUpload:
    """An object that is being uploaded: a thread sends the written data."""

    def __init__(self, connection: Any, container: str, name: str) -> None:
        self._connection = connection
        self._where = (container, name)
        self._parts: queue.Queue[bytes | _Abort] = queue.Queue(_AHEAD)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._send, name="swift", daemon=True)
        self._thread.start()

    def write(self, data: bytes | memoryview) -> None:
        """Append data."""
        view = memoryview(data)
        for at in range(0, len(view), PART):
            self._enqueue(bytes(view[at : at + PART]))

    def finish(self) -> None:
        """Wait until the store has it. :raises Exception: it has not."""
        self._enqueue(_END)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        """Abort the upload: the connection ends before the object does."""
        with contextlib.suppress(BackupDriverException):
            self._enqueue(_Abort())
        self._thread.join()

    def _enqueue(self, part: bytes | _Abort) -> None:
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._parts.put(part, timeout=0.2)
                return
        if self._error is not None and not isinstance(part, _Abort) and part != _END:
            with _explained("write", *self._where):
                raise self._error

    def _send(self) -> None:
        try:
            self._connection.put_object(*self._where, contents=self._queued_parts())
        except BaseException as error:  # noqa: BLE001 - raised by finish()
            self._error = error
        finally:
            self._connection.close()

    def _queued_parts(self) -> Iterator[bytes]:
        while True:
            part = self._parts.get()
            if isinstance(part, _Abort):
                raise StoreError("given up")
            if part == _END:
                return
            yield part


def _connections() -> Any:
    """Return the module of connections. :raises BackupDriverException: a library is missing."""
    try:
        # Late: an optional library, which takes memory.
        from drivers.backup.stores import swift_connection
    except ImportError as error:
        text = "Swift needs python-swiftclient: pip install 'holdfast[swift]'"
        raise BackupDriverException(text) from error
    return swift_connection


def _status(error: BaseException) -> int:
    return int(getattr(error, "http_status", 0) or 0)


@contextlib.contextmanager
def _explained(action: str, container: str, name: str) -> Iterator[None]:
    """Turn whatever the library raises into one of our errors."""
    where = f"{name} in container {container}" if name else f"container {container}"
    authority = "backup_swift_ca_cert_file"
    try:
        with explained(action, where, lambda error: _status(error) == 404, authority):
            yield
    except StoreError as error:
        if error.__cause__ is None or _status(error.__cause__) != 401:
            raise
        text = f"cannot {action} {where}: Swift refuses the login, or the token of the user, which"
        raise StoreError(f"{text} may have expired (401)") from error.__cause__
