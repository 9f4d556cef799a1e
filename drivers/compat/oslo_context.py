# SPDX-License-Identifier: Apache-2.0
"""Private parts of oslo.context: the request of a thread."""

from __future__ import annotations

from oslo_context import context


def bind(request: context.RequestContext | None) -> None:
    """Make a request that of this thread; None unbinds, for which there is no public call."""
    context._request_store.context = request
