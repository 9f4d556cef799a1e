# SPDX-License-Identifier: Apache-2.0
"""Policies of backups from a TOML file: which volumes, when, and how many backups are kept."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.cli.access import CommandError
from worker.cli.chains import schedule
from worker.cli.chains.retention import Retention
from worker.cli.chains.schedule import Schedule

if TYPE_CHECKING:
    from drivers.interface.records import Record

_LISTS = ("volumes", "volume_types", "projects")
_KEPT = ("keep_last", "keep_daily", "keep_weekly", "keep_monthly")
_TIMES = ("every", "full_every", "window", "jitter")
_KNOWN = {"name", "all_backups", "force", "host", *_LISTS, *_KEPT, *_TIMES}

_FORM = "%Y-%m-%d-%H-%M"
_MOMENT = r"-[0-9]{4}(-[0-9]{2}){4}"
"""The end of the name of a backup, see :meth:`Policy.name_at`."""

_READ_FULLY = "volume read fully at "
"""The begin of the description of a backup: a full one may be made of incremental ones later."""


@dataclass(frozen=True)
class Policy:
    """One policy.

    :param schedule: None where backups are only deleted.
    :param volumes: ids; where this and the next two are None, the policy is of all volumes.
    :param volume_types: names or ids.
    :param all_backups: whether it deletes backups that it has not made, too.
    :param force: whether volumes in use are backed up.
    :param host: of the backup service; None for the one that there is.
    """

    name: str
    retention: Retention
    schedule: Schedule | None
    volumes: Sequence[str] | None = None
    volume_types: Sequence[str] | None = None
    projects: Sequence[str] | None = None
    all_backups: bool = False
    force: bool = True
    host: str | None = None

    def applies_to(self, volume: Record, type_name: str | None) -> bool:
        """Return whether a volume is one of the policy: it is in each list that there is."""
        types = {volume.volume_type_id, type_name} - {None}
        return (
            (self.volumes is None or volume.id in self.volumes)
            and (self.projects is None or volume.project_id in self.projects)
            and (self.volume_types is None or bool(types & set(self.volume_types)))
        )

    def is_own(self, backup: Record) -> bool:
        """Return whether the policy may delete a backup."""
        return self.all_backups or self.has_named(backup)

    def has_named(self, backup: Record) -> bool:
        """Return whether a backup has a name as :meth:`name_at` gives it."""
        name = str(backup.display_name or "")
        return bool(re.fullmatch(re.escape(self.name) + _MOMENT, name))

    def described(self, read_fully: datetime.datetime) -> str:
        """Return the description of a new backup.

        :param read_fully: when the newest backup began for which the whole volume was read.
        """
        return f"{_READ_FULLY}{read_fully:{_FORM}}"

    def read_fully(self, backup: Record) -> datetime.datetime | None:
        """Return the moment in a description; without one, the begin of a full backup."""
        begin, found, moment = str(backup.display_description or "").partition(_READ_FULLY)
        try:
            if found and not begin:
                return datetime.datetime.strptime(moment, _FORM)  # noqa: DTZ007 - in UTC, as rows
        except ValueError:
            pass  # of a user
        return None if backup.parent_id else backup.created_at

    def read_fully_for(self, backup: Record) -> datetime.datetime | None:
        """Return when the whole volume was read for a backup and those that it builds on.

        None where the chain has no begin.
        """
        one: Record | None = backup
        seen = set[str]()
        while one is not None and one.id not in seen:
            if (found := self.read_fully(one)) is not None:
                return found
            seen.add(one.id)
            one = one.parent
        return None

    def name_at(self, now: datetime.datetime) -> str:
        """Return the name of a new backup."""
        return f"{self.name}-{now:{_FORM}}"


def read(path: str) -> list[Policy]:
    """Return the policies of a file. :raises CommandError: it is missing or wrong."""
    try:
        document = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is no TOML: {error}") from error
    entries = document.pop("policy", [])
    if document or not isinstance(entries, list):
        text = f"has {', '.join(document) or 'policy'}: only tables [[policy]] are known"
        raise CommandError(f"{path} {text}")
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            text = f"entry {number} of policy is {entry!r:.40}: write a table [[policy]]"
            raise CommandError(f"{path}: {text}")
    found = [_policy(path, entry) for entry in entries]
    names = [one.name for one in found]
    for one in names:
        if names.count(one) > 1 or any(o != one and o.startswith(f"{one}-") for o in names):
            text = "another policy has this name, or one that begins with it and -"
            raise CommandError(f"{path}, policy {one}: {text}")
    return found


def _policy(path: str, entry: Mapping[str, Any]) -> Policy:
    name = entry.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= 100:
        raise CommandError(f"{path}: a policy has no name of 1 to 100 characters")
    try:
        return _checked(name, entry)
    except ValueError as error:
        raise CommandError(f"{path}, policy {name}: {error}") from error


def _checked(name: str, entry: Mapping[str, Any]) -> Policy:
    if unknown := sorted(entry.keys() - _KNOWN):
        raise ValueError(f"{unknown[0]} is unknown; known: {', '.join(sorted(_KNOWN))}")
    kept = {key.removeprefix("keep_"): _number(entry, key) for key in _KEPT}
    host = entry.get("host")
    if host is not None and not (isinstance(host, str) and host):
        raise ValueError("host is no text, or an empty one")
    return Policy(
        name=name,
        retention=Retention(**kept),
        schedule=_schedule(entry),
        all_backups=_truth(entry, "all_backups", default=False),
        force=_truth(entry, "force", default=True),
        host=host,
        **{key: _texts(entry, key) for key in _LISTS},
    )


def _schedule(entry: Mapping[str, Any]) -> Schedule | None:
    if "every" not in entry:
        if extra := [key for key in _TIMES if key in entry]:
            raise ValueError(f"{extra[0]} needs every")
        return None
    if "jitter" in entry and "window" not in entry:
        raise ValueError(
            "jitter needs a window: it spreads the volumes from the begin of the window"
        )
    window = schedule.window(entry["window"]) if "window" in entry else None
    jitter = schedule.span(entry["jitter"]) if "jitter" in entry else datetime.timedelta()
    if window is not None and jitter + schedule.LEFT > window.length:
        text = "the timer might miss the window: it has to be 20 minutes longer than jitter"
        raise ValueError(text)
    return Schedule(
        every=schedule.span(entry["every"]),
        full_every=schedule.span(entry["full_every"]) if "full_every" in entry else None,
        window=window,
        jitter=jitter,
    )


def _number(entry: Mapping[str, Any], key: str) -> int:
    found = entry.get(key, 0)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= 100_000:
        raise ValueError(f"{key} is {found!r:.40}, no number of backups")
    return found


def _truth(entry: Mapping[str, Any], key: str, *, default: bool) -> bool:
    found = entry.get(key, default)
    if not isinstance(found, bool):
        raise ValueError(f"{key} is {found!r:.40}, neither true nor false")
    return found


def _texts(entry: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    if key not in entry:
        return None
    found = entry[key]
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
        raise ValueError(f"{key} is no list of texts")
    if not found:
        text = "is empty: name some, or remove the policy; without the line it is of all of them"
        raise ValueError(f"{key} {text}")
    return tuple(found)
