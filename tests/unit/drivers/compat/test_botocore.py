# SPDX-License-Identifier: Apache-2.0
"""The private parts of botocore are as ``drivers.compat`` uses them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from drivers.compat import botocore as compat

boto3 = pytest.importorskip("boto3")


class Sender:
    """Answers each request, and notes which it was."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, request: Any) -> Any:
        self.sent.append(f"{request.method} {request.url} {request.stream_output}")
        return AWSResponse(request.url, 200, {}, self)

    def stream(self) -> Any:
        yield b""

    def close(self) -> None: ...


def test_a_client_sends_its_requests_through_another_session() -> None:
    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:1",
        region_name="r",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    assert callable(compat.sender_of(client).send)
    sender = Sender()
    compat.send_through(client, sender)
    client.list_objects_v2(Bucket="bucket")
    client.get_object(Bucket="bucket", Key="k")

    assert compat.sender_of(client) is sender
    assert [one.split()[-1] for one in sender.sent] == ["False", "True"]


def test_the_pools_of_a_client_and_of_its_proxies_are_replaced() -> None:
    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:1",
        region_name="r",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )

    class Other:
        def __init__(self, replaced: Any) -> None:
            self.replaced = replaced

    compat.replace_pools(client, Other)
    session: Any = compat.sender_of(client)
    for manager in (
        session._get_connection_manager("http://127.0.0.1:1"),
        session._get_connection_manager("http://127.0.0.1:1", "http://127.0.0.1:2"),
    ):
        classes = manager.pool_classes_by_scheme
        assert set(classes) == {"http", "https"}
        assert all(isinstance(one, Other) for one in classes.values())
