# SPDX-License-Identifier: Apache-2.0
"""The backends that are to be served, each with the options of its driver.

A value comes from the backend's section, else from [backend_defaults], else it is
the default: values that all backends share are given once. ``backend_host`` comes from the
backend's own section only.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from oslo_config import cfg

from drivers.cinder import loading
from drivers.interface.volume import VolumeDriver
from drivers.volume.local import LocalDriver
from worker.conf import plugins
from worker.conf.check import config_files, option_values, places
from worker.conf.check.problems import ConfigError, Problem
from worker.conf.cinder import defaults
from worker.conf.option_groups import backend, default

SHARED = "backend_defaults"
DRIVERS = "holdfast.volume_drivers"

_UNSET = (cfg.Locations.opt_default, cfg.Locations.set_default)
_ENABLED = next(option for option in default.OPTS if option.dest == "enabled_backends")
_DRIVER = next(option for option in backend.OPTS if option.dest == "volume_driver")
_HOST = next(option for option in backend.OPTS if option.dest == "backend_host")
_NODE = next(option for option in default.OPTS if option.dest == "host")
_TIMEOUT = next(option for option in backend.OPTS if option.dest == "operation_timeout")
_EXTRA = next(option for option in backend.OPTS if option.dest == "extra_capabilities")


class BackendConfiguration:
    """Options of one backend as attributes, as a driver gets them.

    Values are read when they are asked for, so a reload is seen at once. A name
    that no option of the backend has is looked up in [DEFAULT].

    :raises ConfigError: a value is invalid.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, name: str, driver_opts: Iterable[cfg.Opt] = ()
    ) -> None:
        self._conf = conf
        self._name = name
        options = all_options(driver_opts)
        self._dests = frozenset(option.dest for option in options)
        problems = faults(conf, name, options)
        if problems:
            raise ConfigError(problems[0])

    @property
    def config_group(self) -> str:
        """The backend's section, which is its name."""
        return self._name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._dests:
            return getattr(self._conf, name)
        sections = (self._name,) if name in backend.OWN else (self._name, SHARED)
        for section in sections:
            if _is_set(self._conf, section, name):
                return self._conf[section][name]
        # Cinder takes the default out of a backend's own section.
        return self._conf[sections[-1]][name]

    def safe_get(self, name: str) -> Any:
        """Return the value, None where there is no such option."""
        try:
            return getattr(self, name)
        except AttributeError:
            return None


def enabled(conf: cfg.ConfigOpts, only: Sequence[str] = ()) -> list[str]:
    """Return the names of the backends to serve.

    :param only: names from the command line; empty means all that are enabled.
    :raises ConfigError: none is enabled, a name is unfit, or its section is missing.
    """
    found = config_files.of(conf)
    problems = list_faults(conf, found)
    if problems:
        raise ConfigError(problems[0])
    names = list(conf.enabled_backends)
    strange = sorted(set(only) - set(names))
    if strange:
        text = f"{strange[0]} is not among them: {', '.join(names)}"
        raise ConfigError(found.problem("DEFAULT", _ENABLED, text))
    return [name for name in names if not only or name in only]


def configure(conf: cfg.ConfigOpts, name: str) -> tuple[type[VolumeDriver], BackendConfiguration]:
    """Return the driver class of a backend and the configuration for it.

    :raises ConfigError: the driver cannot be loaded, or an option of it is wrong.
    """
    driver = driver_class(conf, name)
    return driver, BackendConfiguration(conf, name, driver.OPTS)


def driver_class(conf: cfg.ConfigOpts, name: str) -> type[VolumeDriver]:
    """Return the class that ``volume_driver`` names.

    :raises ConfigError: there is no such class, or it is not a volume driver.
    """
    wanted, section = driver_name(conf, name), _place(conf, name)
    try:
        found = _load(wanted)
    except plugins.LoadError as error:
        raise ConfigError(config_files.of(conf).problem(section, _DRIVER, str(error))) from error
    if not (isinstance(found, type) and issubclass(found, VolumeDriver)):
        text = f"{wanted} is not a volume driver (drivers.interface.volume.VolumeDriver)"
        raise ConfigError(config_files.of(conf).problem(section, _DRIVER, text))
    return found


def driver_name(conf: cfg.ConfigOpts, name: str) -> str:
    """Return the value of ``volume_driver`` of a backend."""
    _register(conf, name, backend.OPTS)
    wanted: str = conf[_place(conf, name)][_DRIVER.dest]
    return wanted


def driver_problem(
    conf: cfg.ConfigOpts, found: config_files.ConfigFiles, name: str, text: str
) -> Problem:
    """Return a problem with the driver of a backend with which the service starts."""
    return found.problem(_place(conf, name), _DRIVER, text, fatal=False)


def operations_max(conf: cfg.ConfigOpts, name: str) -> int:
    """Return how many operations of a backend run at once, of each kind; 0 for no limit."""
    _register(conf, name, backend.OPTS)
    return int(BackendConfiguration(conf, name, ()).operations_max)


def all_options(driver_opts: Iterable[cfg.Opt]) -> list[cfg.Opt]:
    """Return a backend's options with its driver's; a name that both have is ours."""
    ours = {option.dest for option in backend.OPTS}
    return [*backend.OPTS, *(option for option in driver_opts if option.dest not in ours)]


def list_faults(conf: cfg.ConfigOpts, found: config_files.ConfigFiles) -> list[Problem]:
    """Return the errors in the list of backends itself."""
    names = list(conf.enabled_backends)
    if not names:
        read = ", ".join(found.files) or "no configuration file"
        text = f"names no backend, so there is nothing to serve (read: {read})"
        if not found.files and (cinders := cfg.find_config_files("cinder", "cinder-volume")):
            text += f"; Cinder's is read with --config-file {cinders[0]}"
        return [found.problem("DEFAULT", _ENABLED, text)]
    texts = [f"{name} stands there twice" for name in sorted(set(names)) if names.count(name) > 1]
    texts += [
        f"{name!r} cannot be a backend: its name becomes part of an address (no @, #, space)"
        for name in names
        if not fits(name) and name.upper() != default.SECTION
    ]
    texts += [
        f"{name} cannot be a backend: move its options to a section of another name"
        for name in names
        if name.upper() == default.SECTION
    ]
    texts += [
        f"{name} has no section [{name}]{plugins.guess(name, _sections(found))}"
        for name in names
        if fits(name) and found.head(name) is None
    ]
    problems = [found.problem("DEFAULT", _ENABLED, text) for text in texts]
    return problems or [problem for name in names for problem in _long_name(conf, found, name)]


def directory_faults(
    conf: cfg.ConfigOpts, found: config_files.ConfigFiles, served: Collection[str] | None = None
) -> list[Problem]:
    """Return backends with the directory of another one, which stands before them in the list.

    Each would report, list and audit the volumes of both.

    :param served: the backends that are looked at; None means all that are enabled.
    """
    directories = {}
    for name in conf.enabled_backends:
        if not fits(name) or found.head(name) is None:
            continue  # reported elsewhere
        if driver_name(conf, name).startswith(f"{loading.PACKAGE}."):
            continue  # Cinder's drivers are slow to load, and have no such option
        try:
            driver, configuration = configure(conf, name)
        except ConfigError:  # reported elsewhere
            continue
        if issubclass(driver, LocalDriver):
            directories[name] = str(configuration.local_path)
    option = next(one for one in LocalDriver.OPTS if one.dest == "local_path")
    problems = []
    for name, first in places.shared(directories).items():
        if served is not None and name not in served:
            continue
        text = f"{directories[name]} is the directory of {first}, too: give each one of its own"
        section = name if _is_set(conf, name, option.dest) else SHARED
        made = found.problem(section, option, text)
        if made.file is None and (head := found.head(name)) is not None:
            made = Problem(head.file, head.line, name, option.name, text)
        problems.append(made)
    return problems


def timeout_faults(
    conf: cfg.ConfigOpts, found: config_files.ConfigFiles, operations: Collection[str]
) -> list[Problem]:
    """Return warnings about limits of operations that do not exist.

    :param operations: their names.
    """
    problems = []
    for section in (*conf.enabled_backends, SHARED):
        _register(conf, section, backend.OPTS)
        for name in sorted((conf[section][_TIMEOUT.dest] or {}).keys() - {*operations, "*"}):
            text = f"there is no operation {name}{plugins.guess(name, operations)}"
            problems.append(found.problem(section, _TIMEOUT, text, fatal=False))
    return problems


def _long_name(
    conf: cfg.ConfigOpts, found: config_files.ConfigFiles, name: str
) -> Iterator[Problem]:
    _register(conf, name, backend.OPTS)
    if option_values.wrong(conf, [(name, _HOST)], found):  # reported with the others
        return
    own = conf[name][_HOST.dest]
    if text := places.too_long("cinder-volume", own or conf.host, name):
        place = (name, _HOST) if own else ("DEFAULT", _NODE)
        yield found.problem(*place, text)


def faults(conf: cfg.ConfigOpts, name: str, options: Sequence[cfg.Opt]) -> list[Problem]:
    """Return the errors in the values of a backend, its own and shared ones."""
    _register(conf, name, options)
    found = config_files.of(conf)
    placed = [(section, option) for section in (name, SHARED) for option in options]
    problems = option_values.wrong(conf, placed, found)
    if problems:
        return problems
    section = name if _is_set(conf, name, _EXTRA.dest) else SHARED
    try:
        if not isinstance(json.loads(conf[section][_EXTRA.dest]), dict):
            raise ValueError("not an object")
    except ValueError as error:
        text = f'not a JSON object such as {{"tier": "gold"}}: {error}'
        return [found.problem(section, _EXTRA, text)]
    return []


def _load(wanted: str) -> object:
    """Return the class that an option names, a driver of Cinder's within an adapter."""
    if wanted.startswith(f"{loading.PACKAGE}."):
        return _cinders(wanted)
    try:
        found = plugins.load(wanted, DRIVERS, "driver")
    except plugins.LoadError as error:
        if getattr(error.__cause__, "name", None) != "eventlet":
            raise
        return _cinders(wanted)  # a third-party driver for Cinder imports Cinder
    if not loading.is_cinders(found):
        return found
    with plugins.explained(wanted):
        return loading.adapted(found)


def _cinders(wanted: str) -> object:
    try:
        with plugins.explained(wanted):
            return loading.load(wanted)
    except plugins.LoadError as error:
        if isinstance(error.__cause__, loading.Unsuitable):
            raise plugins.LoadError(str(error.__cause__)) from error
        raise


def _register(conf: cfg.ConfigOpts, name: str, options: Sequence[cfg.Opt]) -> None:
    try:
        for section in (name, SHARED):
            conf.register_opts(options, group=section)
            if defaults.are_cinders(conf.config_file or ()):
                conf.set_default(_DRIVER.dest, defaults.DRIVER, group=section)
            else:
                conf.clear_default(_DRIVER.dest, group=section)
    except cfg.DuplicateOptError as error:
        text = f"the driver defines {error.opt_name} otherwise than another one does"
        raise ConfigError(Problem(None, None, name, error.opt_name, text)) from error


def _place(conf: cfg.ConfigOpts, name: str) -> str:
    """Return the section that says which driver a backend has."""
    return name if _is_set(conf, name, _DRIVER.dest) else SHARED


def _is_set(conf: cfg.ConfigOpts, section: str, name: str) -> bool:
    place = conf.get_location(name, section)
    return place is not None and place.location not in _UNSET


def fits(name: str) -> bool:
    """Return whether a backend may have this name."""
    strange = any(character in "@#" or character.isspace() for character in name)
    return not strange and name.upper() != default.SECTION


def _sections(found: config_files.ConfigFiles) -> list[str]:
    return [entry.section for entry in found.entries if entry.option is None]
