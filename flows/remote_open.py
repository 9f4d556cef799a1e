# SPDX-License-Identifier: Apache-2.0
"""Open a volume or snapshot of another service on this host, for a copy of its data."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from drivers.interface.records import Record
from flows.context import AttachContext
from flows.errors import AttachFailed, DetachFailed, FlowError, Unavailable

LOG = logging.getLogger(__name__)


@contextmanager
def opened(ctx: AttachContext, source: Record, *, write: bool, secure: bool) -> Iterator[BinaryIO]:
    """Attach a volume or snapshot to this host, open it, and in the end let it go.

    A second try connects again, which the driver answers as before.

    :raises AttachFailed: it cannot be opened; nothing is attached.
    :raises DetachFailed: after a copy that went well, it could not be let go.
    """
    connector = ctx.attacher.connector()
    if ctx.resumed:
        let_go(ctx, source)
    try:
        info = ctx.volume_service.connect(ctx.request, source, connector)
    except FlowError as error:
        _disconnect_quietly(ctx, source, connector)
        raise AttachFailed(f"{source.kind} {source.id}: {error}") from error
    try:
        with ctx.attacher.opened(info, write=write, secure=secure) as file:
            yield file
    except BaseException:
        _disconnect_quietly(ctx, source, connector)
        raise
    _disconnect(ctx, source, connector)


def let_go(ctx: AttachContext, source: Record) -> None:
    """Detach and disconnect what a try that was cut short may have left."""
    connector = ctx.attacher.connector()
    try:
        ctx.attacher.let_go(ctx.volume_service.connect(ctx.request, source, connector))
    except FlowError as error:
        LOG.warning("%s %s may stay attached: %s", source.kind, source.id, error)
    _disconnect_quietly(ctx, source, connector)


def _disconnect(ctx: AttachContext, source: Record, connector: Mapping[str, Any]) -> None:
    try:
        ctx.volume_service.disconnect(ctx.request, source, connector)
        ctx.volume_service.unexport(ctx.request, source)
    except Unavailable:
        raise
    except FlowError as error:
        raise DetachFailed(f"{source.kind} {source.id} stays exported: {error}") from error


def _disconnect_quietly(ctx: AttachContext, source: Record, connector: Mapping[str, Any]) -> None:
    try:
        _disconnect(ctx, source, connector)
    except FlowError as error:
        LOG.warning("%s", error)
