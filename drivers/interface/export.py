# SPDX-License-Identifier: Apache-2.0
"""The contract of a way to give a file or device of this host to a consumer.

Volume drivers whose volumes lie on this host choose one and pass their calls on to
it, so that each protocol is written once. Source: seeds, VolumeDriverCore
(connections); spec/interfaces §8 (exports).
"""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from oslo_config import cfg


class ExportDriver(abc.ABC):
    """Serves files by name.

    Any call may be repeated, may block for as long as a server takes to start or to
    end, and may come from several processes of a host at once.
    """

    OPTS: ClassVar[list[cfg.Opt]] = []
    """Its own options; the volume driver lists them among its own."""

    protocol: ClassVar[str]
    """The protocol's name in statistics and connection info."""

    multiattach: ClassVar[bool] = False
    """Whether consumers who share a volume see one another's writes."""

    online_extend_support: ClassVar[bool] = False
    """Whether a consumer sees that its volume has grown without connecting again."""

    @abc.abstractmethod
    def check(self) -> None:
        """Return whether it can work.

        :raises VolumeBackendAPIException: the text names the package or option to change.
        """

    @abc.abstractmethod
    def ensure(self, name: str, path: str, *, read_only: bool = False) -> None:
        """Serve a file unless it is served already; at its old address, if it had one.

        Each file is served twice at most: to consumers who write, and to those who only read.

        :param path: the file or device; its content is raw, also if it begins like an image.
        :raises VolumeBackendAPIException: it cannot be served; nothing is left.
        """

    @abc.abstractmethod
    def is_up(self, name: str) -> bool:
        """Return whether a file is served under this name."""

    @abc.abstractmethod
    def noted(self, name: str) -> Sequence[bool]:
        """Return for which kinds of access, ``read_only`` or not, there are consumers."""

    def consumers(self, name: str) -> Sequence[str] | None:
        """Return the consumers that have access to a file; None where they are unknown."""
        return None

    @abc.abstractmethod
    def connect(self, name: str, who: str, *, read_only: bool = False) -> Mapping[str, Any]:
        """Give a consumer access to an export; a repetition changes nothing.

        :returns: the connection info's ``data``.
        """

    @abc.abstractmethod
    def disconnect(self, name: str, who: str | None) -> None:
        """Revoke the access of one consumer, or of all; without consumers the export ends.

        :raises RemoveExportException: it is still served.
        """

    @abc.abstractmethod
    def remove(self, name: str, *, keep: Collection[str | None] = ()) -> None:
        """Stop serving, even while it is used; absence is success.

        :param keep: consumers that keep their access; None for all that there are.
        :raises RemoveExportException: it is still served.
        """

    @abc.abstractmethod
    def grown(self, name: str, path: str) -> None:
        """Show the new size of a file that has grown; nothing where it is not served.

        :raises TargetUpdateFailed: connected clients see the old size until they connect again.
        """

    @abc.abstractmethod
    def held(self, names: Sequence[str]) -> AbstractContextManager[None]:
        """Suspend the writes of consumers to several volumes, while the context lasts.

        Acknowledged writes are in the files; later ones are written afterwards.
        Names that are not served are passed over. It ends when its process is killed.

        :raises VolumeBackendAPIException: one cannot be held; none is.
        """
