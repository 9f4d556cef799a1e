# SPDX-License-Identifier: Apache-2.0
"""The contract of a way to give a local file to a consumer as a block device."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any


class ExportDriver(abc.ABC):
    """Serves files by name. Any call may be repeated; calls may block for seconds."""

    @abc.abstractmethod
    def check(self) -> None:
        """:raises VolumeBackendAPIException: what it needs is not installed."""

    @abc.abstractmethod
    def ensure(self, name: str, path: str) -> Mapping[str, Any]:
        """Serve a file unless it is served already.

        :returns: where: keys of the connection info's ``data``.
        :raises VolumeBackendAPIException: it cannot be served; nothing is left.
        """

    @abc.abstractmethod
    def is_up(self, name: str) -> bool:
        """Say whether a file is served under this name."""

    @abc.abstractmethod
    def remove(self, name: str) -> None:
        """Stop serving; absence is success.

        :raises RemoveExportException: it is still served.
        """
