# SPDX-License-Identifier: Apache-2.0
"""Determine the effect of every assignment in configuration files."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from oslo_config import cfg

from worker.conf import plugins
from worker.conf.check.config_files import ConfigEntry, ConfigFiles
from worker.conf.check.problems import Problem
from worker.conf.cinder import names, no_effect, refused, table, unrelated
from worker.conf.cinder.refused import BACKUP, BOTH, RefusedOption
from worker.conf.option_groups import backend, backup, compute

_SWITCHES = {"profiler": "enabled"}
"""Sections that mean something only if this option of them is true."""

_ALIKE = 0.75
"""How like a known name an unknown one is that may have meant it, from 0 to 1."""

_NOT_SHARED = "has no effect, nor has it in Cinder"
_OWN_SECTIONS = ": write it into the section of each backend"

_TOKENS = "keystone_authtoken"
_LOGIN = frozenset(
    (
        *compute.ACCOUNT,
        *("auth_url", "username", "user_id", "password", "project_name", "project_id"),
        *("user_domain_name", "user_domain_id", "project_domain_name", "project_domain_id"),
        *("region_name", "cafile", "certfile", "keyfile", "insecure", "timeout"),
    )
)
"""Options of an account."""

_KNOWN_PACKAGES = ("cinder.", "drivers.")
"""Packages of drivers whose options are known."""

_OF_ALL_BACKENDS = [*(option.dest for option in backend.OPTS), *unrelated.BASE]
"""Options of which a name in the section of another project's driver may be a misspelling."""

_MOST_LINES = 12
"""Of warnings at a start."""


class AssignmentKind(enum.Enum):
    """The effect of an assignment."""

    TAKEN = "taken over as it is"
    ELSEWHERE = "for another service"
    OTHERWISE = "without effect"
    REFUSED = "changes visible behaviour"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class AssignmentFinding:
    """The effect of one.

    :param text: for an operator; may be empty.
    :param services: those that it prevents from starting.
    :param reader: the service or command that reads it instead of Holdfast.
    """

    kind: AssignmentKind
    entry: ConfigEntry
    text: str = ""
    services: frozenset[str] = BOTH
    reader: str = ""

    @property
    def problem(self) -> Problem:
        """The printed form."""
        fatal = self.kind is AssignmentKind.REFUSED
        at = self.entry
        return Problem(at.file, at.line, at.section, at.option, self.text, fatal)


class Review:
    """The files of a configuration whose backends' options are registered.

    :param conf: it was read from these files.
    :param served: names of the backends that are looked at; None means all that are enabled.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        found: ConfigFiles,
        served: Sequence[str] | None = None,
    ) -> None:
        self._conf, self._found = conf, found
        self._served = conf.enabled_backends if served is None else served
        self._table = table.Table()
        self._known = names.known(conf)
        self._accepted = frozenset(conf.accept_unsupported)
        self._backends = {name.lower() for name in self._served} | {table.BACKEND}
        self._passed_over = {name.lower() for name in conf.enabled_backends} - self._backends
        self._drivers = names.drivers(found)
        self._elsewhere = names.sections(found)
        self.findings = list(self._judged())

    @property
    def release(self) -> str:
        """The release of Cinder that is known here."""
        return self._table.release

    @property
    def set_options(self) -> set[str]:
        """The names that stand anywhere in the files."""
        return {entry.option for entry in self._found.entries if entry.option is not None}

    def refused(self, service: str | None = None) -> list[Problem]:
        """Return the errors that forbid a start: of one service, or of any."""
        return [
            finding.problem
            for finding in self.findings
            if finding.kind is AssignmentKind.REFUSED
            and (service is None or service in finding.services)
        ]

    def of_kind(self, kind: AssignmentKind) -> list[AssignmentFinding]:
        """Return the findings of one kind, in the order of the files."""
        return [finding for finding in self.findings if finding.kind is kind]

    @property
    def lacks_backups(self) -> bool:
        """Whether the options forbid a start of the backup service, or leave it to Cinder."""
        return any(
            finding.services == BACKUP and finding.kind is not AssignmentKind.TAKEN
            for finding in self.findings
        )

    def warnings(self) -> list[str]:
        """Return the warnings about unknown options: a few lines, or one."""
        unknown = [str(finding.problem) for finding in self.of_kind(AssignmentKind.UNKNOWN)]
        if len(unknown) > _MOST_LINES:
            return [f"{len(unknown)} options are unknown: holdfast config check lists them"]
        return unknown

    def _judged(self) -> Iterator[AssignmentFinding]:
        reported: set[str] = set()
        for entry in names.effective(self._found.entries):
            section = entry.section.lower()
            if section == "default":
                if entry.option is not None:
                    yield self._of_the_service(entry, entry.option)
            elif section == table.BACKEND and entry.option in backend.OWN:
                advice = "" if self._is_in_each_backend(entry.option) else _OWN_SECTIONS
                yield AssignmentFinding(AssignmentKind.OTHERWISE, entry, _NOT_SHARED + advice)
            elif section in self._backends:
                if entry.option is not None:
                    yield self._of_a_backend(entry, entry.option)
            elif section in self._drivers or section in self._passed_over:
                continue  # the list of backends reports sections that are not enabled
            elif (found := self._of_a_section(entry, section, reported)) is not None:
                yield found

    def _of_the_service(self, entry: ConfigEntry, name: str) -> AssignmentFinding:
        option = self._table.find("DEFAULT", name)
        name = option.name if option else name
        if name in refused.SERVICE:
            return self._refused(entry, refused.SERVICE[name], option)
        if entry.option in self._known["default"]:
            return AssignmentFinding(AssignmentKind.TAKEN, entry)
        if name in no_effect.SERVICE:
            return _otherwise(entry, no_effect.SERVICE[name], option)
        if name in unrelated.SERVICE:
            reader = unrelated.SERVICE[name]
            if reader == unrelated.STORES and backup.is_adapted(self._conf.backup_driver):
                reader = unrelated.DRIVERS
            return AssignmentFinding(AssignmentKind.ELSEWHERE, entry, reader=reader)
        if self._table.find(table.BACKEND, name) or name in self._known[names.OF_BACKENDS]:
            text = self._misplaced(table.BACKEND, name, "backends read it from [backend_defaults]")
            return AssignmentFinding(AssignmentKind.OTHERWISE, entry, text)
        if self._is_of_a_foreign_store(entry.option):
            return AssignmentFinding(AssignmentKind.ELSEWHERE, entry, reader=unrelated.FOREIGN)
        return self._unknown(entry, name, "default")

    def _of_a_backend(self, entry: ConfigEntry, name: str) -> AssignmentFinding:
        option = self._table.find(table.BACKEND, name)
        name = option.name if option else name
        if entry.option in self._known[names.OF_BACKENDS]:
            return AssignmentFinding(AssignmentKind.TAKEN, entry)
        if name in refused.BACKEND:
            return self._refused(entry, refused.BACKEND[name], option)
        if option is not None and self._is_cinders(entry.section.lower()):
            return AssignmentFinding(AssignmentKind.ELSEWHERE, entry, reader=unrelated.DRIVERS)
        if entry.option in self._known.get(entry.section.lower(), ()):
            return AssignmentFinding(AssignmentKind.TAKEN, entry)
        if name in no_effect.BACKEND:
            return _otherwise(entry, no_effect.BACKEND[name], option)
        return self._of_no_driver(entry, name, option)

    def _of_no_driver(
        self, entry: ConfigEntry, name: str, option: table.Option | None
    ) -> AssignmentFinding:
        """Judge an option of a backend whose driver, as far as it is known, has none of it."""
        section = entry.section.lower()
        foreign = AssignmentFinding(AssignmentKind.ELSEWHERE, entry, reader=unrelated.FOREIGN)
        if option is not None:
            if self._is_foreign(section):
                return foreign
            return AssignmentFinding(
                AssignmentKind.OTHERWISE, entry, "the driver of this backend does not have it"
            )
        if self._table.find("DEFAULT", name) or name in self._known["default"]:
            text = self._misplaced("DEFAULT", name, "it is read from [DEFAULT]")
            return AssignmentFinding(AssignmentKind.OTHERWISE, entry, text)
        if self._passed_over and entry.section.lower() == table.BACKEND:
            return AssignmentFinding(
                AssignmentKind.TAKEN, entry
            )  # it may be of a driver that is not loaded here
        if self._is_foreign(section) and not plugins.guess(name, _OF_ALL_BACKENDS, _ALIKE):
            return foreign
        return self._unknown(entry, name, section)

    def _misplaced(self, section: str, name: str, place: str) -> str:
        """Return the text on an option that stands in a section where nothing reads it."""
        in_cinder = ", nor has it in Cinder" if self._table.find(section, name) else ""
        return f"has no effect{in_cinder}: {place}"

    def _is_in_each_backend(self, name: str) -> bool:
        """Return whether each enabled backend sets an option in its own section."""
        setting = {entry.section.lower() for entry in self._found.entries if entry.option == name}
        return {backend.lower() for backend in self._conf.enabled_backends} <= setting

    def _of_a_section(
        self, entry: ConfigEntry, section: str, reported: set[str]
    ) -> AssignmentFinding | None:
        """Judge an assignment outside [DEFAULT] and backends; None for none."""
        if section == "key_manager" and entry.option in refused.KEYS:
            return self._refused(entry, refused.KEYS[entry.option], None)
        reader = unrelated.SECTIONS.get(section) or self._elsewhere.get(section)
        if section == _TOKENS and entry.option in _LOGIN and self._logs_in_as_the_api():
            return AssignmentFinding(AssignmentKind.TAKEN, entry)
        if reader is None and section in self._known:
            return self._of_ours(entry, section)
        if section in no_effect.SECTIONS:
            return _of_others(entry, section, reported)
        if reader is None and (section in self._table.libraries or section in self._table.sections):
            reader = unrelated.API
        if reader is not None:
            return (
                AssignmentFinding(AssignmentKind.ELSEWHERE, entry, reader=reader)
                if entry.option
                else None
            )
        if entry.option is None:
            sections = [*self._known, *unrelated.SECTIONS, *no_effect.SECTIONS]
            text = f"this section is not read{plugins.guess(section, sections, _ALIKE)}"
            return AssignmentFinding(AssignmentKind.UNKNOWN, entry, text)
        return None

    def _of_ours(self, entry: ConfigEntry, section: str) -> AssignmentFinding | None:
        if entry.option is None:
            return None
        if reader := unrelated.OPTIONS.get((section, entry.option)):
            return AssignmentFinding(AssignmentKind.ELSEWHERE, entry, reader=reader)
        if section in names.KEYSTONES or entry.option in self._known[section]:
            return AssignmentFinding(AssignmentKind.TAKEN, entry)
        if entry.option in self._table.libraries.get(section, ()):
            return AssignmentFinding(AssignmentKind.ELSEWHERE, entry, reader=unrelated.API)
        return self._unknown(entry, entry.option, section)

    def _refused(
        self, entry: ConfigEntry, refusal: RefusedOption, option: table.Option | None
    ) -> AssignmentFinding:
        if refusal.when is not None:
            wanted = refusal.when(entry.value)
        else:
            wanted = bool(entry.value.strip()) and not (option and option.is_default(entry.value))
        if not wanted:
            return AssignmentFinding(AssignmentKind.TAKEN, entry)
        ours = entry.section.lower() in ("default", *self._backends)
        name = entry.option if ours else f"{entry.section}.{entry.option}"
        if name in self._accepted:
            text = f"{refusal.effect}; this is not done, as accept_unsupported says"
            return AssignmentFinding(AssignmentKind.OTHERWISE, entry, text)
        text = f"{refusal} (or else: accept_unsupported = {name})"
        return AssignmentFinding(AssignmentKind.REFUSED, entry, text, refusal.services)

    def _unknown(self, entry: ConfigEntry, name: str, section: str) -> AssignmentFinding:
        text = "unknown, so it has no effect"
        if name in unrelated.RENAMED:
            new = unrelated.RENAMED[name]
            if section == "default" and self._table.find(table.BACKEND, new):
                new = f"[{table.BACKEND}] {new}"
            text += f"; Cinder {self.release} " + (f"calls it {new}" if new else "has it no more")
        else:
            near = self._table.sections.get("DEFAULT" if section == "default" else section, ())
            others = [*self._known.get(section, ()), *near, *self._others(section)]
            text += plugins.guess(name, others, _ALIKE)
        return AssignmentFinding(AssignmentKind.UNKNOWN, entry, text)

    def _others(self, section: str) -> Iterable[str]:
        if section == "default":
            return unrelated.SERVICE
        return self._table.sections[table.BACKEND] if section in self._backends else ()

    def _logs_in_as_the_api(self) -> bool:
        """Return whether Glance is asked with the account that checks the tokens of the API."""
        own = ("service_user", "glance")
        accounts = compute.account_sections(self._found)
        return self._conf.image_service == "glance" and accounts.isdisjoint(own)

    def _is_of_a_foreign_store(self, name: str | None) -> bool:
        """Return whether a store of another project has registered an option as it was loaded."""
        wanted = backup.ours(self._conf.backup_driver)
        is_foreign = "." in wanted and not wanted.startswith(_KNOWN_PACKAGES)
        return is_foreign and name is not None and name in cfg.CONF

    def _is_cinders(self, section: str) -> bool:
        """Return whether a driver of Cinder reads this section."""
        return any(name.startswith("cinder.") for name in self._drivers_of(section))

    def _is_foreign(self, section: str) -> bool:
        """Return whether a driver of another project reads this section."""
        names = self._drivers_of(section)
        return any("." in name and not name.startswith(_KNOWN_PACKAGES) for name in names)

    def _drivers_of(self, section: str) -> list[str]:
        """Return the drivers of the backends that read a section."""
        if section == table.BACKEND:
            others = self._backends - {table.BACKEND}
            return [driver for name in others for driver in self._drivers_of(name)]
        named = self._drivers.get(section) or self._drivers.get(table.BACKEND)
        return [named or str(self._conf[table.BACKEND].volume_driver)]


def _otherwise(entry: ConfigEntry, text: str, option: table.Option | None) -> AssignmentFinding:
    if option is not None and option.is_default(entry.value):
        return AssignmentFinding(AssignmentKind.TAKEN, entry)
    return AssignmentFinding(AssignmentKind.OTHERWISE, entry, text)


def _of_others(entry: ConfigEntry, section: str, reported: set[str]) -> AssignmentFinding | None:
    """Report once the meaning of a section that is not read here."""
    if entry.option is None:
        return None
    switch = _SWITCHES.get(section)
    is_on = entry.option == switch and entry.value.strip().lower() in ("true", "1", "yes", "on")
    if section in reported or (switch is not None and not is_on):
        return AssignmentFinding(AssignmentKind.ELSEWHERE, entry, reader=unrelated.API)
    reported.add(section)
    at = entry if switch else ConfigEntry(entry.file, entry.line, entry.section, None, "")
    return AssignmentFinding(AssignmentKind.OTHERWISE, at, no_effect.SECTIONS[section])
