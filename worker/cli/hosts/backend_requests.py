# SPDX-License-Identifier: Apache-2.0
"""Requests of operators to the volume service of a backend, as the API makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oslo_messaging import MessagingTimeout, RemoteError

from worker.cli.access import Access, CommandError
from worker.rpc.clients.volume import METHODS, VolumeClient
from worker.rpc.request_context import RequestContext


def send(access: Access, address: str, method: str, args: Mapping[str, Any]) -> Any:
    """Send a cast, or make a call and return its answer.

    :param address: ``host@backend`` or ``cluster@backend``.
    :raises CommandError: the call failed, or had no answer.
    """
    seconds = access.conf.rpc_response_timeout
    client, request = VolumeClient(access.bus, seconds), RequestContext.admin()
    if not METHODS[method].answers:
        client.cast(request, address, method, **args)
        return None
    try:
        return client.call(request, address, method, **args)
    except MessagingTimeout as error:
        text = f"no answer from {address} within {seconds} s; see: holdfast service list"
        raise CommandError(text) from error
    except RemoteError as error:
        raise CommandError(f"{method} failed: {error.exc_type}: {error.value}") from error
