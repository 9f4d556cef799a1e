# SPDX-License-Identifier: Apache-2.0
"""Secrets that a driver is given, and the search for them in its errors and log lines."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

PROVIDER_AUTH = "CHAP conformance Pa55-of-the-row"
CONNECTOR_PASSWORD = "Pa55-of-the-connector"

SECRETS = ("Pa55-of-the-row", CONNECTOR_PASSWORD)
"""Texts that no error and no log line may have."""


def of_options(options: Iterable[Any], values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of secret options; an access key is a name, which requests carry."""
    secret = [option.dest for option in options if getattr(option, "secret", False)]
    names = {values.get(name) for name in secret if name.endswith("store_access_key")}
    found = {values.get(name) for name in secret} - names
    return tuple(one for one in found if isinstance(one, str) and len(one) > 3)


def within(text: str, secrets: Iterable[str]) -> str | None:
    """Return the secret that a text has."""
    return next((one for one in secrets if one in text), None)


class LoggedTexts(logging.Handler):
    """Collects the texts of all log lines."""

    def __init__(self) -> None:
        super().__init__(level=logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.texts.append(self.format(record))
        except (TypeError, ValueError) as error:
            self.texts.append(f"a log line whose arguments do not fit: {record.msg!r} ({error})")
