# SPDX-License-Identifier: Apache-2.0
"""Forms of the arguments that become part of paths, commands, rows or further messages.

Cinder's API and scheduler always send them so. A message with another form is refused before
an endpoint sees it. Texts that tenants choose freely have no form, but a length. The flow of
``attach_volume`` checks the instance itself: its failure ends the attachment, too.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

COLUMN_MAX = 255
"""Characters of the columns that hold names, hosts and mount points."""

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,35}")
"""A UUID or another id; never a path or an option, never longer than its column."""


class BadForm(ValueError):
    """An argument has another form than the one that Cinder's services send."""


def check(name: str, value: Any) -> None:
    """Check an argument by its name; one without a form is passed.

    :raises BadForm: it has another form.
    """
    if name in _FORMS:
        accepts, form = _FORMS[name]
        if not accepts(value):
            raise BadForm(f"{name} is no {form}: {reprlib.repr(value)}")


def is_id(value: Any) -> bool:
    """Return whether a value can be an id, which becomes part of the names of locks and files."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_optional_id(value: Any) -> bool:
    return value is None or value == "" or is_id(value)


def _is_list_of_ids(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(map(is_id, value)))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= COLUMN_MAX


def _is_optional_text(value: Any) -> bool:
    return value is None or _is_text(value)


def _is_name(value: Any) -> bool:
    return _is_text(value) and bool(value) and value.isprintable()


def _is_optional_name(value: Any) -> bool:
    return value is None or value == "" or _is_name(value)


def _is_backend(value: Any) -> bool:
    """Return whether a value is the scheduler's choice of a backend: ``host@backend#pool``."""
    if not isinstance(value, Mapping):
        return False
    return _is_name(value.get("host")) and _is_optional_name(value.get("cluster_name"))


def _is_image(value: Any) -> bool:
    return isinstance(value, Mapping) and is_id(value.get("id"))


_Form = tuple[Callable[[Any], bool], str]

_OPTIONAL_ID: _Form = (_is_optional_id, "id")
_IDS: _Form = (_is_list_of_ids, "list of ids")
_OPTIONAL_TEXT: _Form = (_is_optional_text, f"text of at most {COLUMN_MAX} characters")

_FORMS: Mapping[str, _Form] = {
    "attachment_id": _OPTIONAL_ID,
    "backup_service": (_is_name, "name of a driver"),
    "host": (_is_backend, "mapping with a host and perhaps a cluster_name"),
    "host_name": _OPTIONAL_TEXT,
    "image_meta": (_is_image, "mapping with the id of an image"),
    "migration_policy": (_is_name, "policy"),
    "mode": _OPTIONAL_TEXT,
    "mountpoint": _OPTIONAL_TEXT,
    "new_project": _OPTIONAL_TEXT,
    "new_type_id": _OPTIONAL_ID,
    "new_user": _OPTIONAL_TEXT,
    "old_reservations": _IDS,
    "reservations": _IDS,
    "secondary_backend_id": (_is_optional_name, "name of a backend"),
    "volume_status": _OPTIONAL_TEXT,
}
