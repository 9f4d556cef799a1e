# SPDX-License-Identifier: Apache-2.0
"""A client of S3 as the options want it, whose answers are read with limits.

Imported only where one is made: the library takes memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import boto3
from botocore import exceptions
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from drivers import answer_heads
from drivers.backup.stores import whole_answers
from drivers.compat import botocore as compat
from drivers.interface.errors import BackupDriverException


def connect(configuration: Any) -> Any:
    """Make a client. :raises BackupDriverException: its address cannot be used."""
    address = configuration.backup_s3_endpoint_url
    try:
        client = boto3.client(
            "s3",
            endpoint_url=address or None,
            aws_access_key_id=configuration.backup_s3_store_access_key,
            aws_secret_access_key=configuration.backup_s3_store_secret_key,
            region_name=configuration.backup_s3_region,
            verify=configuration.backup_s3_verify_ssl
            and (configuration.backup_s3_ca_cert_file or True),
            config=_settings(configuration),
        )
    except ValueError as error:
        text = f"backup_s3_endpoint_url = {address} cannot be used: {error}"
        raise BackupDriverException(text) from error
    compat.replace_pools(client, answer_heads.limited)
    sender = _LimitedSender(compat.sender_of(client), configuration.backup_s3_timeout)
    compat.send_through(client, sender)
    return client


def _settings(configuration: Any) -> Config:
    proxies = {
        kind: address
        for kind, address in (
            ("http", configuration.backup_s3_http_proxy),
            ("https", configuration.backup_s3_https_proxy),
        )
        if address
    }
    return Config(
        connect_timeout=configuration.backup_s3_timeout,
        read_timeout=configuration.backup_s3_timeout,
        max_pool_connections=max(
            configuration.backup_s3_max_pool_connections, configuration.backup_transfers * 2
        ),
        proxies=proxies or None,
        retries={
            "max_attempts": configuration.backup_s3_retry_max_attempts,
            "mode": configuration.backup_s3_retry_mode,
        },
        s3={"addressing_style": "path"},
        # Many stores refuse the checksums in trailers that the library sends otherwise.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


class _LimitedSender:
    """Sends requests; a body that is no object's data is read with limits."""

    def __init__(self, sender: compat.RequestSender, seconds: float) -> None:
        self._sender = sender
        self._seconds = seconds

    def send(self, request: Any) -> Any:
        """Send a request, and return its answer."""
        # The library waits without an end for the end of the head of an interim answer.
        request.headers.pop("Expect", None)
        is_object, request.stream_output = request.stream_output, True  # else it is read there
        try:
            answer = self._sender.send(request)
        finally:
            request.stream_output = is_object
        if is_object and answer.status_code < 300:
            return answer
        with _closed_after_an_error(answer.raw), _as_of_botocore(request.url):
            body = whole_answers.content(answer.raw, self._seconds)
        answer.raw.release_conn()
        return AWSResponse(answer.url, answer.status_code, answer.headers, _Body(body))

    def close(self) -> None:
        """Close the connections."""
        self._sender.close()


class _Body:
    """A body that was read."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_args: Any, **_how: Any) -> Iterator[bytes]:
        """Yield the body."""
        yield self._body


@contextlib.contextmanager
def _closed_after_an_error(raw: Any) -> Iterator[None]:
    try:
        yield
    except BaseException:
        raw.close()  # the rest of the answer may wait in the connection
        raise


@contextlib.contextmanager
def _as_of_botocore(url: str) -> Iterator[None]:
    """Turn errors of the network into those of the library, after which it tries again."""
    try:
        yield
    except (ReadTimeoutError, TimeoutError) as error:
        raise exceptions.ReadTimeoutError(endpoint_url=url, error=error) from error
    except ProtocolError as error:
        raise exceptions.ConnectionClosedError(endpoint_url=url, error=error) from error
