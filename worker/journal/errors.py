# SPDX-License-Identifier: Apache-2.0
"""Errors of the journal."""

from __future__ import annotations


class JournalError(Exception):
    """The database of the journal refused or failed a request; it may be repeated."""
