# SPDX-License-Identifier: Apache-2.0
"""A start that no wait would mend: tables are missing, or the journal cannot be used."""

from __future__ import annotations

EXIT_STATUS = 69
"""Exit status of a service that cannot start; systemd tries again, as a person may mend it."""


class StartRefused(SystemExit):
    """Ends a start, and with it all processes of the service, with one line.

    :param text: the fault, and the command that mends it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
