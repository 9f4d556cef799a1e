# SPDX-License-Identifier: Apache-2.0
"""The contract of a compute service, whose instances have volumes attached.

No method waits for the instances. Any call may be repeated, may block, and
may come from several threads at once. Methods and their callers: spec/volume-rpc,
extend_volume, reimage and migrate_volume.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

from oslo_config import cfg


class ComputeService(abc.ABC):
    """Runs instances.

    :param conf: the configuration, with the options of ``OPTS`` in the section ``GROUP``.
    """

    GROUP: ClassVar[str] = "DEFAULT"
    OPTS: ClassVar[list[cfg.Opt]] = []
    """Its own options, and where they are."""

    def __init__(self, conf: Any) -> None:
        self.conf = conf

    @abc.abstractmethod
    def check(self) -> None:
        """Check that this host has the libraries and options that it needs; no request is sent.

        :raises ComputeError: the text names the package to install or the option to change.
        """

    @abc.abstractmethod
    def volume_extended(self, context: Any, volume_id: str, instances: Sequence[str]) -> None:
        """Notify of an extended volume, so that guests see its new size.

        :param instances: ids of those that have it attached.
        :raises ComputeError: it did not take the news.
        """

    @abc.abstractmethod
    def volume_reimaged(self, context: Any, volume_id: str, instances: Sequence[str]) -> None:
        """Notify of a reimaged volume, so that instances which wait for it continue.

        :param instances: ids of those that have it.
        :raises ComputeError: it did not take the news.
        """

    @abc.abstractmethod
    def swap_volume(self, context: Any, instance: str, volume_id: str, copy_id: str) -> None:
        """Have an instance copy a volume to another one, and continue with that.

        It answers when it has begun, and reserves the copy before. In the end it has the
        migration completed.

        :param instance: id of the one that has the volume attached.
        :raises ComputeError: it did not begin, as far as is known.
        """
