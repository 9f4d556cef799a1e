# SPDX-License-Identifier: Apache-2.0
"""A driver under test, its options, and the objects of a test.

Objects that a test makes through :class:`Backend` are removed at its end.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import socket
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg

from drivers.interface.optional import OptionalMethods
from drivers.interface.records import Record
from drivers.interface.volume import VolumeDriver
from tests.conformance import cinders
from tests.conformance.devices import PROTOCOLS, Device

GROUP = "holdfast.volume_drivers"
HOST = f"{socket.gethostname()}@conformance"
CONNECTOR = {
    "host": socket.gethostname(),
    "ip": "127.0.0.1",
    "initiator": "iqn.2026-11.org.example:conformance",
    "multipath": False,
}

COMMON = {
    "volume_backend_name": "conformance",
    "reserved_percentage": 5,
    "max_over_subscription_ratio": "20.0",
    "volume_name_template": "volume-%s",
    "snapshot_name_template": "snapshot-%s",
}
"""Options that every backend has."""


MAKING = {
    "create_volume",
    "create_snapshot",
    "create_cloned_volume",
    "create_volume_from_snapshot",
    "manage_existing",
    "manage_existing_snapshot",
}
"""Methods that create their first argument, with their results."""


@dataclass(frozen=True)
class Case:
    """A driver in a place.

    :param name: shown in the tests' names.
    :param driver: an entry point or the full path of a class.
    :param place: key of ``places.PLACES``; its directory becomes ``local_path``.
    :param programs: programs that have to be installed.
    """

    name: str
    driver: str
    options: Mapping[str, str] = field(default_factory=dict)
    place: str | None = None
    programs: tuple[str, ...] = ()


SHARED = {"local_path_shared": "true"}
"""Tests connect under the names of other hosts."""

NBD = {"local_export": "nbd"}
NBD_PROGRAMS = ("qemu-nbd", "qemu-img", "qemu-io", "nbdinfo")

CASES = (
    Case("noop", "noop"),
    Case("local", "local", SHARED, place="plain"),
    Case("local-ext4", "local", SHARED, place="ext4"),
    Case("local-xfs", "local", SHARED, place="xfs"),
    Case("local-nbd", "local", NBD, place="plain", programs=NBD_PROGRAMS),
    Case(
        "local-nbd-tcp",
        "local",
        {**NBD, "local_nbd_address": "127.0.0.1"},
        place="plain",
        programs=NBD_PROGRAMS,
    ),
)


class Context(SimpleNamespace):
    """A request context of an administrator."""

    def __init__(self) -> None:
        super().__init__(is_admin=True, user_id="user", project_id="project", roles=["admin"])


def listed(driver: Any, kind: str, managed: list[Record], **page: Any) -> list[dict[str, Any]]:
    """Return the manageable ``volumes`` or ``snapshots`` of a driver, by size."""
    plain = {"marker": None, "limit": 1000, "offset": 0, "sort_keys": ["size"]}
    wanted = {**plain, "sort_dirs": ["asc"], **page}
    found: list[dict[str, Any]] = getattr(driver, f"get_manageable_{kind}")(
        managed, *wanted.values()
    )
    return found


def load(name: str) -> type[VolumeDriver]:
    """Return a driver class by its entry point's name or its path."""
    if name.startswith("cinder."):
        return cinders.load(name)
    for point in metadata.entry_points(group=GROUP, name=name):
        return point.load()
    module, _, attribute = name.replace(":", ".").rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def configuration(driver: type[VolumeDriver], options: Mapping[str, str]) -> Any:
    """Return the options of a backend as a driver gets them."""
    if cinders.is_cinders(driver):
        return cinders.configuration(driver, options)
    conf = cfg.ConfigOpts()
    conf.register_opts(driver.OPTS, group="conformance")
    conf.register_opts([cfg.StrOpt("state_path", default="/nonexistent")])
    values = dict(COMMON)
    for option in driver.OPTS:
        if option.dest in options:
            conf.set_override(option.dest, options[option.dest], group="conformance")
        values[option.dest] = conf["conformance"][option.dest]
    values.update({name: value for name, value in options.items() if name not in values})
    return SimpleNamespace(**values, safe_get=values.get)


def announces(driver: type[VolumeDriver], method: str) -> bool:
    """Say whether a driver offers a method that it need not have."""
    plain = getattr(OptionalMethods, method, None) or getattr(VolumeDriver, method, None)
    return getattr(driver, method, None) not in (None, plain)


class Backend:
    """Makes records and drivers for one test, and removes the remaining objects at its end."""

    def __init__(
        self,
        driver_class: type[VolumeDriver],
        options: Mapping[str, str],
        opener: Callable[[Mapping[str, Any]], Device] | None = None,
    ) -> None:
        self._class = driver_class
        self._options = options
        self._opener = opener
        self._rows = cinders.Rows() if cinders.is_cinders(driver_class) else None
        self._volumes: list[Record] = []
        self._snapshots: list[Record] = []
        self._known: dict[str, dict[str, Any]] = defaultdict(dict)
        self._sizes: dict[str, int] = {}
        self.context = Context()
        self.driver = self.start()

    def start(self) -> VolumeDriver:
        """Return another driver of the same backend, as after a restart."""
        driver = self._class(configuration(self._class, self._options), host=HOST)
        for name in dir(driver):
            if not name.startswith("_") and callable(getattr(driver, name)):
                setattr(driver, name, self._remembering(getattr(driver, name)))
        driver.do_setup(self.context)
        driver.check_for_setup_error()
        return driver

    def _remembering(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Pass the written columns of a record to a method, as the worker reads its row again."""

        @functools.wraps(method)
        def call(*arguments: Any, **more: Any) -> Any:
            answer = method(*map(self._current, arguments), **more)
            first = next(iter(arguments), None)
            if method.__name__ in MAKING and isinstance(first, Record):
                if answer is None or isinstance(answer, Mapping):
                    self.updated(first, {**(answer or {}), "status": "available"})
            elif self._rows and method.__name__ in ("delete_snapshot", "unmanage_snapshot"):
                self._rows.removed(arguments[0])
            elif method.__name__ == "extend_volume":
                self._sizes[arguments[0].id] = max(arguments[1], arguments[0].size)
            return answer

        return call

    def _current(self, argument: Any) -> Any:
        if not isinstance(argument, Record):
            return argument
        fresh = argument.replace(**self._known[argument.id])
        if fresh.kind == "snapshot":
            fresh = fresh.replace(volume=self._current(fresh.volume))
        return fresh

    def volume(self, size: int = 1, **columns: Any) -> Record:
        """Return the record of a volume that is not made yet."""
        key = columns.pop("id", str(uuid.uuid4()))
        fields = {
            "id": key,
            "name": f"volume-{key}",
            "name_id": key,
            "size": size,
            "host": f"{HOST}#conformance",
            "status": "creating",
            "attach_status": "detached",
            "provider_location": None,
            "provider_id": None,
            "provider_auth": None,
            "snapshot_id": None,
            "source_volid": None,
            "project_id": "project",
            "user_id": "user",
            "volume_type_id": None,
            "volume_type": None,
            "encryption_key_id": None,
            "multiattach": False,
            "metadata": {},
            "admin_metadata": {},
            "volume_attachment": [],
        }
        volume = Record("volume", {**fields, **columns})
        self._volumes.append(volume)
        if self._rows:
            self._rows.made(volume)
        return volume

    def created(self, size: int = 1) -> Record:
        """Return a volume that is there."""
        volume = self.volume(size)
        return self.updated(volume, self.driver.create_volume(volume))

    def snapshot(self, volume: Record) -> Record:
        """Return the record of a snapshot that is not made yet."""
        key = str(uuid.uuid4())
        fields = {
            "id": key,
            "name": f"snapshot-{key}",
            "volume_id": volume.id,
            "volume_name": volume.name,
            "volume_size": volume.size,
            "volume": volume,
            "status": "creating",
            "provider_location": None,
            "provider_id": None,
            "metadata": {},
        }
        snapshot = Record("snapshot", fields)
        self._snapshots.append(snapshot)
        if self._rows:
            self._rows.made(snapshot)
        return snapshot

    def snapped(self, volume: Record) -> Record:
        """Return a snapshot that is there."""
        snapshot = self.snapshot(volume)
        return self.updated(snapshot, self.driver.create_snapshot(snapshot))

    def updated(self, record: Record, update: Mapping[str, Any] | None) -> Record:
        """Return a record as it is after the driver's update was written."""
        self._known[record.id].update(update or {})
        fresh = record.replace(**(update or {}))
        if self._rows:
            self._rows.updated(record, update)
        kept = self._volumes if record.kind == "volume" else self._snapshots
        kept[:] = [fresh if one.id == record.id else one for one in kept]
        return fresh

    def connect(self, volume: Record, connector: Mapping[str, Any] = CONNECTOR) -> dict[str, Any]:
        """Export a volume and connect to it, as the worker does."""
        volume = volume.replace(size=self._sizes.get(volume.id, volume.size))
        self.driver.validate_connector(connector)
        update = self.driver.create_export(self.context, volume, connector)
        volume = self.updated(volume, update)
        return dict(self.driver.initialize_connection(volume, connector))

    def disconnect(self, volume: Record, connector: Mapping[str, Any] = CONNECTOR) -> None:
        """Undo :meth:`connect`."""
        self.driver.terminate_connection(volume, connector)
        self.driver.remove_export(self.context, volume)

    def open(self, info: Mapping[str, Any]) -> Device:
        """Return the device behind connection info; without a way to, skip the test."""
        opener = self._opener or PROTOCOLS.get(info["driver_volume_type"])
        if opener is None:
            kind = info["driver_volume_type"]
            pytest.skip(f"no way to read a volume over {kind}: say one with --device")
        return opener(info)

    @contextlib.contextmanager
    def device(self, volume: Record) -> Any:
        """Connect, give the device, and disconnect."""
        info = self.connect(volume)
        try:
            yield self.open(info)
        finally:
            self.disconnect(volume)

    def write(self, volume: Record, offset: int, data: bytes) -> None:
        """Write to a volume as a consumer."""
        with self.device(volume) as device:
            device.write(offset, data)

    def read(self, volume: Record, offset: int, length: int) -> bytes:
        """Read from a volume as a consumer."""
        with self.device(volume) as device:
            return device.read(offset, length)

    def size(self, volume: Record) -> int:
        """Return a volume's length in bytes as a consumer sees it."""
        with self.device(volume) as device:
            return device.size()

    def clear(self) -> None:
        """Remove everything that the test made."""
        for volume in self._volumes:
            self.driver.terminate_connection(volume, None)
            self.driver.remove_export(self.context, volume)
        for snapshot in reversed(self._snapshots):
            self.driver.delete_snapshot(snapshot)
        for volume in reversed(self._volumes):
            self.driver.delete_volume(volume)
