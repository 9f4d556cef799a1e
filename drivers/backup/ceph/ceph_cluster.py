# SPDX-License-Identifier: Apache-2.0
"""Connections to a Ceph cluster, its pools, and their small objects.

Each operation has a connection of its own: none is open over a fork, and none is shared with an
operation that hangs. librados would wait for ever for a cluster that is away; here every request
has a time limit.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from oslo_utils import units

from drivers.backup.ceph import binding as bindings
from drivers.backup.ceph.binding import CephBinding
from drivers.interface.errors import BackupDriverException

MOST = 64 * units.Mi
"""Bytes of the longest object that is read as a whole."""


class Conflict(Exception):
    """Another service has written an object meanwhile."""


class PoolAbsent(BackupDriverException):
    """The cluster has no pool of that name."""


@dataclass(frozen=True)
class Cluster:
    """The way to a cluster.

    :param conf: path of its ceph.conf.
    :param user: name without ``client.``.
    :param timeout: seconds for a request; 0 for no limit.
    """

    conf: str
    user: str
    timeout: int = 0

    @contextmanager
    def pool(self, name: str) -> Iterator[BackupPool]:
        """Connect and open a pool.

        :raises BackupDriverException: the cluster, its configuration or the pool cannot be used.
        """
        binding = bindings.load()
        with contextlib.ExitStack() as stack:
            with bindings.explained(binding, f"the Ceph cluster of {self.conf}"):
                client = self._client(binding)
                stack.callback(client.shutdown)
                client.connect()
            label = f"pool {name} of the Ceph cluster of {self.conf}"
            with bindings.explained(binding, label):
                try:
                    context = client.open_ioctx(name)
                except binding.rados.ObjectNotFound as error:
                    raise PoolAbsent(f"{label} does not exist") from error
                stack.callback(context.close)
            yield BackupPool(binding, context, name)

    def _client(self, binding: CephBinding) -> Any:
        client = binding.rados.Rados(rados_id=self.user, conffile=self.conf)
        # A cache would make flushes slow, and takes 32 MiB for each image.
        client.conf_set("rbd_cache", "false")
        if self.timeout:
            for name in ("rados_osd_op_timeout", "rados_mon_op_timeout", "client_mount_timeout"):
                client.conf_set(name, str(self.timeout))
        return client


class BackupPool:
    """An open pool.

    :param context: ``rados.Ioctx``.
    """

    def __init__(self, binding: CephBinding, context: Any, name: str) -> None:
        self.binding = binding
        self.context = context
        self.name = name

    def read(self, name: str) -> bytes | None:
        """Return an object; None where there is none."""
        try:
            length, _time = self.context.stat(name)
            if length > MOST:
                raise BackupDriverException(f"object {name} in {self.name} has {length} bytes")
            return bytes(self.context.read(name, max(1, length)))
        except self.binding.rados.ObjectNotFound:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a whole object over any that is there."""
        self.context.write_full(name, data)

    def remove(self, name: str) -> None:
        """Remove an object; absence is a success."""
        with contextlib.suppress(self.binding.rados.ObjectNotFound):
            self.context.remove_object(name)

    def create(self, name: str, data: bytes) -> None:
        """Write a new object. :raises Conflict: it is there."""
        rados = self.binding.rados
        with rados.WriteOpCtx() as operation:
            operation.new(rados.LIBRADOS_CREATE_EXCLUSIVE)
            operation.write_full(data)
            try:
                self.context.operate_write_op(operation, name)
            except rados.ObjectExists as error:
                raise Conflict(name) from error

    def remove_unchanged(self, name: str, before: bytes) -> bool:
        """Remove an object that has not changed since; return whether it is gone."""
        rados = self.binding.rados
        with rados.WriteOpCtx() as operation:
            operation.cmpext(before, 0)
            operation.remove()
            try:
                self.context.operate_write_op(operation, name)
            except (rados.Error, OSError):
                found = self.read(name)
                if found == before:
                    raise
                return found is None  # by this request, whose answer was lost, or by another one
        return True

    def replace(self, name: str, before: bytes, data: bytes) -> None:
        """Write an object that has not changed since. :raises Conflict: it has."""
        rados = self.binding.rados
        with rados.WriteOpCtx() as operation:
            operation.cmpext(before, 0)
            operation.write_full(data)
            try:
                self.context.operate_write_op(operation, name)
            except (rados.Error, OSError) as error:
                if self.read(name) == data:  # an answer that was lost
                    return
                if self.read(name) == before:
                    raise
                raise Conflict(name) from error


def identity(conf: str) -> str | None:
    """Return the id of the cluster of a ceph.conf, or its monitors; None where it names neither."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        parser.read(conf)
        known = {re.sub("[ -]", "_", name): value for name, value in parser["global"].items()}
    except (OSError, KeyError, UnicodeError, configparser.Error):
        return None
    return known.get("fsid") or known.get("mon_host") or None


def json_of(data: bytes | None) -> dict[str, Any]:
    """Return an object's content; nothing where it is none of ours."""
    try:
        found = json.loads(data or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
