# SPDX-License-Identifier: Apache-2.0
"""A driver under test, its options, and the objects of a test.

Objects that a test makes through :class:`Backend` are removed at its end.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg

from drivers.interface.errors import DriverError, ManageExistingInvalidReference
from drivers.interface.manage import VolumeManagementDriver
from drivers.interface.optional import OptionalMethods
from drivers.interface.records import Record
from drivers.interface.snapshot import VolumeSnapshotManagementDriver
from drivers.interface.volume import VolumeDriver
from flows.secret_texts import masked_text

from . import cinders
from .checks import answers, leaks, process_state, secrets
from .devices import PROTOCOLS, Device
from .interruption import modes
from .options import COMMON, require_known
from .records import snapshot_record, volume_record

GROUP = "holdfast.volume_drivers"
HOST = f"{socket.gethostname()}@conformance"
CONNECTOR = {
    "host": socket.gethostname(),
    "ip": "127.0.0.1",
    "initiator": "iqn.2026-11.org.example:conformance",
    "multipath": False,
    "auth_password": secrets.CONNECTOR_PASSWORD,
}

MAKING = {
    "create_volume",
    "create_snapshot",
    "create_cloned_volume",
    "create_volume_from_snapshot",
    "manage_existing",
    "manage_existing_snapshot",
}
"""Methods that create their first argument, with their results."""

GROUPED = {
    *("create_consistencygroup_from_src", "create_group_from_src", "update_consistencygroup"),
    *("update_group", "create_cgsnapshot", "create_group_snapshot"),
}
"""Methods that return lists of updates."""

MANAGED = {"volumes": VolumeManagementDriver, "snapshots": VolumeSnapshotManagementDriver}


@dataclass(frozen=True)
class Case:
    """A driver in a place.

    :param name: shown in the tests' names.
    :param driver: an entry point or the full path of a class.
    :param place: key of ``places.PLACES``; its directory becomes ``local_path``.
    :param programs: programs that have to be installed.
    :param modes: see :class:`modes.Mode`.
    :param has_one_mode: each test is run in one of the modes besides the plain one.
    :param points: how many points of a call it is killed or suspended at; 0 leaves those tests out.
    :param ignored: patterns of files that stay in the directories of the driver for good.
    :param foreign: makes an object of so many bytes on the backend, by other means than the
        driver, and returns its reference; called with the options and the size.
    :param listing: see :data:`leaks.Listing`.
    """

    name: str
    driver: str
    options: Mapping[str, str] = field(default_factory=dict)
    place: str | None = None
    programs: tuple[str, ...] = ()
    modes: tuple[str, ...] = tuple(modes.Mode)
    has_one_mode: bool = False
    points: int = 12
    ignored: tuple[str, ...] = ()
    foreign: Callable[[Mapping[str, str], int], dict[str, str]] | None = None
    listing: leaks.Listing | None = None


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


def configuration(driver: type[VolumeDriver], options: Mapping[str, str]) -> Any:
    """Return the options of a backend as a driver gets them."""
    if cinders.is_cinders(driver):
        return cinders.configuration(driver, options)
    require_known(driver.OPTS, options)
    conf = cfg.ConfigOpts()
    conf.register_opts(driver.OPTS, group="conformance")
    conf.register_opts([cfg.StrOpt("state_path", default="/nonexistent")])
    values = {**COMMON, **{name: options[name] for name in COMMON if name in options}}
    for option in driver.OPTS:
        if option.dest in options:
            conf.set_override(option.dest, options[option.dest], group="conformance")
        values[option.dest] = conf["conformance"][option.dest]
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
        case: Case | None = None,
        mode: str = modes.Mode.PLAIN,
    ) -> None:
        self._class = driver_class
        self.options = options
        self._opener = opener
        self.case = case or Case(driver_class.__name__, driver_class.__name__, options)
        self._rows = cinders.Rows() if cinders.is_cinders(driver_class) else None
        self.mode = modes.Applied(mode, driver_class, self._made)
        self._depth = threading.local()
        self._volumes: list[Record] = []
        self._snapshots: list[Record] = []
        self._foreign: list[dict[str, str]] = []
        self._known: dict[str, dict[str, Any]] = defaultdict(dict)
        self._sizes: dict[str, int] = {}
        self._secrets = (*secrets.SECRETS, *secrets.of_options(driver_class.OPTS, options))
        self.log = secrets.LoggedTexts()
        self.context = Context()
        self.driver = self.start()
        self._before = self.inventory()

    @property
    def is_cinders(self) -> bool:
        """Whether the driver is one of Cinder's."""
        return self._rows is not None

    def _made(self) -> VolumeDriver:
        """Return a driver that is set up, of which no call is followed."""
        driver = self._class(configuration(self._class, self.options), host=HOST)
        driver.do_setup(self.context)
        driver.check_for_setup_error()
        return driver

    def start(self) -> VolumeDriver:
        """Return another driver of the same backend, as after a restart."""
        driver = self._class(configuration(self._class, self.options), host=HOST)
        live = modes.Live(driver)
        for name in live.methods:
            setattr(driver, name, self._followed(live, name))
        driver.do_setup(self.context)
        driver.check_for_setup_error()
        self._live = live
        return driver

    def restarted(self) -> None:
        """Put a new driver behind the one that tests call, as a restart does."""
        self._live.replace(self._made())

    def raw(self, name: str) -> Callable[..., Any]:
        """Return a method of the driver as it is now; its calls are not followed."""
        return self._live.method(name)

    def made_anew(self) -> VolumeDriver:
        """Return a driver as that of another process, of which no call is followed."""
        return self._made()

    def _followed(self, live: modes.Live, name: str) -> Callable[..., Any]:
        """Check a method's answers, and pass the written columns of its records to it.

        The worker reads the row again before each call; so the columns are as written.
        """

        @functools.wraps(live.method(name))
        def call(*arguments: Any, **more: Any) -> Any:
            given = [self.current(argument) for argument in arguments]
            if getattr(self._depth, "is_within", False):
                return live.method(name)(*given, **more)
            self._depth.is_within = True
            copies = process_state.copied(given)
            try:
                with self.without_secrets(name):
                    answer = self.mode.call(live, name, given, more)
            finally:
                self._depth.is_within = False
            fault = answers.fault(name, answer, given)
            if fault := fault or process_state.changed_argument(given, copies):
                raise AssertionError(f"{name}: {fault}")
            self.written(name, given, answer)
            return answer

        return call

    @contextlib.contextmanager
    def without_secrets(self, name: str) -> Iterator[None]:
        """Fail where the text of an error has a secret."""
        try:
            yield
        except AssertionError:
            raise
        except Exception as error:
            if found := secrets.within(f"{error} {error!r}", self._secrets):
                raise AssertionError(f"an error of {name} has the secret {found}") from error
            raise

    def written(self, name: str, arguments: list[Any], answer: Any) -> None:
        """Note the columns that an answer writes."""
        first = next(iter(arguments), None)
        if name in MAKING and isinstance(first, Record):
            self.updated(first, {**(answer or {}), "status": "available"})
        elif self._rows and name in ("delete_snapshot", "unmanage_snapshot"):
            self._rows.removed(arguments[0])
        elif name == "extend_volume":
            self._sizes[arguments[0].id] = max(arguments[1], arguments[0].size)
        elif name in GROUPED and answer is not None:
            for entries in answer[1:]:
                for entry in entries or ():
                    rest = {key: entry[key] for key in entry if key not in ("id", "status")}
                    self._known[entry["id"]].update(rest)

    def current(self, argument: Any) -> Any:
        """Return a record, or a list of records, with the columns that were written."""
        if isinstance(argument, list):
            return [self.current(one) for one in argument]
        if not isinstance(argument, Record):
            return argument
        fresh = argument.replace(**self._known[argument.id])
        if fresh.kind == "snapshot":
            fresh = fresh.replace(volume=self.current(fresh.volume))
        return fresh

    def volume(self, size: int = 1, **columns: Any) -> Record:
        """Return the record of a volume that is not made yet."""
        secret = None if self._rows else secrets.PROVIDER_AUTH
        given = {"provider_auth": secret, **columns}
        volume = volume_record(f"{HOST}#conformance", size, **given)
        if self._rows:
            volume = self._rows.made(volume)
        self._volumes.append(volume)
        return volume

    def created(self, size: int = 1) -> Record:
        """Return a volume that is there."""
        volume = self.volume(size)
        return self.updated(volume, self.driver.create_volume(volume))

    def snapshot(self, volume: Record, **columns: Any) -> Record:
        """Return the record of a snapshot that is not made yet."""
        snapshot = snapshot_record(volume, **columns)
        if self._rows:
            snapshot = self._rows.made(snapshot)
        self._snapshots.append(snapshot)
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

    def foreign(self, size: int) -> dict[str, str]:
        """Return the reference of an object that was made without the driver.

        :param size: bytes.
        """
        if self.case.foreign is None:
            pytest.skip("no way to make an object that is not managed: give one with --foreign")
        reference = self.case.foreign(self.options, size)
        self._foreign.append(reference)
        return reference

    def clear(self) -> None:
        """Remove everything that the test made."""
        for volume in self._volumes:
            self.driver.terminate_connection(volume, None)
            self.driver.remove_export(self.context, volume)
        self._adopt_snapshots()
        for snapshot in reversed(self._snapshots):
            self.driver.delete_snapshot(snapshot)
        self._adopt_foreign()
        for volume in reversed(self._volumes):
            self.driver.delete_volume(volume)

    def _adopt_snapshots(self) -> None:
        """Manage snapshots again that a test let go, so that they are deleted."""
        if not isinstance(self.driver, VolumeSnapshotManagementDriver) or self._rows:
            return
        by_name = {volume.name: volume for volume in self._volumes}
        for entry in listed(self.driver, "snapshots", self._snapshots):
            volume = by_name.get(entry["source_reference"].get("source-name"))
            if volume is not None and entry["cinder_id"] is None:
                with contextlib.suppress(DriverError):
                    self.driver.manage_existing_snapshot(self.snapshot(volume), entry["reference"])

    def _adopt_foreign(self) -> None:
        if not isinstance(self.driver, VolumeManagementDriver):
            return
        for reference in self._foreign:
            with contextlib.suppress(ManageExistingInvalidReference):
                self.driver.manage_existing(self.volume(), reference)

    def inventory(self) -> dict[str, Any]:
        """Return everything that may be left behind, by kind."""
        driver = self._live.driver
        places = leaks.directories(self.options, [driver.files_directory()])
        found: dict[str, Any] = leaks.figures(driver.get_volume_stats(True))
        found["files"] = leaks.files(places, self.case.ignored)
        found["processes"] = leaks.processes()
        if self.case.listing is not None:
            found["objects"] = set(self.case.listing(self.options))
        for kind, interface in MANAGED.items():
            if isinstance(driver, interface) and not self._rows:
                names = {str(entry["reference"]) for entry in listed(driver, kind, [])}
                found[f"manageable {kind}"] = names
        return found

    def left_behind(self) -> list[str]:
        """Return in words what is there now and was not before the test, or differs."""
        if self.mode.has_killed:
            self.restarted()
        after, found = self.inventory(), []
        for name, before in self._before.items():
            if isinstance(before, set):
                found += [f"{name}: {one}" for one in sorted(after[name] - before)]
                if name != "processes":
                    found += [f"{name}: {one} is gone" for one in sorted(before - after[name])]
            elif after[name] != pytest.approx(before, abs=0.01):
                found.append(f"{name}: {after[name]} in place of {before}")
        return found

    def logged_secrets(self) -> list[str]:
        """Return the log lines that have a secret.

        Drivers of Cinder, and its libraries, log connectors whole; the service masks each line.
        """
        texts = map(masked_text, self.log.texts) if self.is_cinders else self.log.texts
        return [text for text in texts if secrets.within(text, self._secrets)]
