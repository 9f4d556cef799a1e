# SPDX-License-Identifier: Apache-2.0
"""Everything that is wrong with configuration files, not only the first thing.

The start refuses fatal errors with one line each; ``holdfast config check`` prints
all of them, and also options without effect.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from oslo_config import cfg

from drivers.compat import oslo_config
from worker.conf import (
    backends,
    clone_uploads,
    image_cache,
    image_locations,
    image_signatures,
    key_managers,
    option_groups,
)
from worker.conf.check import (
    bus,
    cluster_needs,
    config_files,
    log_file,
    monitoring,
    option_values,
    packages,
    places,
    readable_files,
    urls,
)
from worker.conf.check.problems import ConfigError, Problem
from worker.conf.cinder import defaults
from worker.conf.cinder.review import AssignmentKind, Review
from worker.conf.option_groups import backup, compute, image, journal


@dataclass(frozen=True)
class Examination:
    """The result of a check.

    :param problems: in the order of their lines.
    :param conf: as it was read; None where it could not be.
    :param review: the effect of each assignment; None where they could not be read.
    :param installation: the command that installs packages which are missing; may be empty.
    :param missing: those of the problems that a missing package causes, after the start.
    """

    problems: list[Problem]
    conf: cfg.ConfigOpts | None = None
    review: Review | None = None
    installation: str = ""
    missing: tuple[Problem, ...] = ()


def check(files: Sequence[str], operations: Collection[str] = ()) -> list[Problem]:
    """Return the problems of these files, in the order of their lines."""
    return examine(files, operations).problems


def examine(files: Sequence[str], operations: Collection[str] = ()) -> Examination:
    """Read files as a start would, and continue after the first problem.

    :param operations: the names of operations, for the limits of their time; empty: any name.
    """
    review, installation = None, ""
    missing: tuple[Problem, ...] = ()
    try:
        found = config_files.ConfigFiles(files)
        conf = cfg.ConfigOpts()
        option_groups.register_all(conf)
        problems = early(conf, found)
        if not problems:
            defaults.apply(conf, files)
            with unresolved(conf, found):
                conf([], default_config_files=list(files), default_config_dirs=[])
            problems = _service(conf, found)
            problems += _further(conf, found, operations, known=bool(problems))
            review = Review(conf, found)
            problems += _names(review)
            installation = packages.command(conf, found)
            missing = tuple(packages.missing(conf, found))
            problems += missing
    except ConfigError as error:
        return Examination([error.problem])
    problems = sorted(set(problems), key=lambda problem: (problem.file or "", problem.line or 0))
    return Examination(problems, conf if review else None, review, installation, missing)


def early(conf: cfg.ConfigOpts, found: config_files.ConfigFiles) -> list[Problem]:
    """Return wrong values of options that the command line takes as well.

    oslo.config reads those before anything else, and stops without naming a file.
    """
    problems = []
    for section, option in oslo_config.on_command_line(conf):
        entry = found.find(section, option)
        if entry is None or "$" in entry.value:
            continue
        try:
            option.type(entry.value)
        except ValueError as error:
            problems.append(found.problem(section, option, option_values.short(str(error))))
    return problems


@contextmanager
def unresolved(conf: cfg.ConfigOpts, found: config_files.ConfigFiles) -> Iterator[None]:
    """Name the place of an option of the command line that refers to no option.

    oslo.config resolves these while it reads the command line, and names only the other option.

    :raises ConfigError: such an option stands in a file.
    """
    try:
        yield
    except cfg.NoSuchOptError as error:
        for section, option in oslo_config.on_command_line(conf):
            entry = found.find(section, option)
            if entry is not None and "$" in entry.value and error.opt_name in entry.value:
                text = option_values.DOLLAR
                raise ConfigError(found.problem(section, option, text)) from error
        raise


def start(conf: cfg.ConfigOpts) -> list[Problem]:
    """Return the errors that forbid a start, apart from those of backends."""
    found = config_files.of(conf)
    return [problem for problem in _service(conf, found) if problem.fatal]


def _service(conf: cfg.ConfigOpts, found: config_files.ConfigFiles) -> list[Problem]:
    problems = option_values.wrong(conf, oslo_config.registered(conf), found)
    if problems:
        return problems
    try:
        image.service_class(conf)
    except ConfigError as error:
        problems.append(error.problem)
    problems += compute.faults(conf, found)
    unreadable = urls.faults(conf, found)
    databases = {"database", "journal"} - {one.section for one in unreadable}
    problems += [*unreadable, *places.relative(conf, found, databases)]
    problems += urls.warnings(conf, found, databases)
    problems += [*monitoring.faults(conf, found), *monitoring.collector_faults(conf, found)]
    if all(one.option != "transport_url" for one in unreadable):
        problems += [*bus.faults(conf, found)] or [*bus.warnings(conf, found)]
    return [*problems, *_relations(conf, found), *_leases(conf, found)]


def _further(
    conf: cfg.ConfigOpts,
    found: config_files.ConfigFiles,
    operations: Collection[str],
    *,
    known: bool,
) -> list[Problem]:
    """Return the problems of backends, stores and files.

    :param known: whether a problem is known already; a check that meets a wrong value adds
        nothing then.
    """
    checks: list[Callable[[], Iterable[Problem]]] = [
        partial(backends.list_faults, conf, found),
        partial(_drivers, conf, found),
        partial(backends.directory_faults, conf, found),
        partial(places.absent, conf, found),
        partial(cluster_needs.faults, conf, found),
        partial(image_cache.warnings, conf, found),
        partial(image_locations.warnings, conf, found),
        partial(image_signatures.warnings, conf, found),
        partial(image_locations.account_warnings, conf, found),
        partial(key_managers.warnings, conf, found),
        partial(clone_uploads.warnings, conf, found),
        partial(_idle, conf, found),
        partial(_store, conf),
        partial(readable_files.faults, conf, found),
    ]
    if operations:
        checks.append(partial(backends.timeout_faults, conf, found, operations))
    problems: list[Problem] = []
    for one in checks:
        try:
            problems += one()
        except cfg.Error:
            if not (known or problems):
                raise
    return problems


def _relations(conf: cfg.ConfigOpts, found: config_files.ConfigFiles) -> list[Problem]:
    options = {
        option.dest: option
        for section, option in oslo_config.registered(conf)
        if section == "DEFAULT"
    }
    problems = []
    if conf.report_interval >= conf.service_down_time:
        text = (
            f"a heartbeat every {conf.report_interval} s is too rare for "
            f"service_down_time = {conf.service_down_time}: the service would look dead"
        )
        problems.append(found.problem("DEFAULT", options["report_interval"], text, fatal=False))
    if text := places.too_long("cinder-backup", conf.host):
        problems.append(found.problem("DEFAULT", options["host"], text))
    if text := log_file.level_fault(conf.default_log_levels):
        problems.append(found.problem("DEFAULT", options["default_log_levels"], text))
    for name, text in log_file.format_faults(conf).items():
        problems.append(found.problem("DEFAULT", options[name], text))
    if path := conf.log_config_append:
        fault = log_file.fault(path)
        if text := fault or log_file.silence(path):
            option = options["log_config_append"]
            problems.append(found.problem("DEFAULT", option, text, fatal=bool(fault)))
    return problems


def _leases(conf: cfg.ConfigOpts, found: config_files.ConfigFiles) -> list[Problem]:
    """Return the times of leases that are not in their order."""
    names = ("slot_renewal", "slot_kill_after", "slot_ttl")
    options = {option.dest: option for option in journal.OPTS}
    return [
        found.problem(
            "journal",
            options[less],
            f"{less} = {conf.journal[less]:g} has to be less than {more} = {conf.journal[more]:g}",
        )
        for less, more in itertools.pairwise(names)
        if conf.journal[less] >= conf.journal[more]
    ]


def _store(conf: cfg.ConfigOpts) -> list[Problem]:
    """Return the errors that forbid a start of the backup service only, and limits of its store."""
    try:
        return backup.limits(conf)
    except ConfigError as error:
        accepted = "backup_driver" in conf.accept_unsupported
        return [dataclasses.replace(error.problem, fatal=not accepted)]


def _drivers(conf: cfg.ConfigOpts, found: config_files.ConfigFiles) -> list[Problem]:
    problems = []
    for name in conf.enabled_backends:
        if found.head(name) is None or not backends.fits(name):
            continue
        options: Sequence[cfg.Opt] = ()
        try:
            options = backends.driver_class(conf, name).OPTS
        except ConfigError as error:
            problems.append(error.problem)
        problems += backends.faults(conf, name, backends.all_options(options))
    return problems


def _idle(conf: cfg.ConfigOpts, found: config_files.ConfigFiles) -> list[Problem]:
    """Return sections that look like a backend but are not enabled."""
    served = {name.lower() for name in conf.enabled_backends} | {backends.SHARED}
    text = "looks like a backend, but enabled_backends does not name it"
    return [
        Problem(entry.file, entry.line, entry.section, None, text, fatal=False)
        for entry in found.entries
        if entry.option == "volume_driver" and entry.section.lower() not in served
    ]


def _names(review: Review) -> list[Problem]:
    """Return the options that have no effect, and those of Cinder that are not supported."""
    idle = [*review.of_kind(AssignmentKind.UNKNOWN), *review.of_kind(AssignmentKind.OTHERWISE)]
    return [*(finding.problem for finding in idle), *review.refused()]
