# SPDX-License-Identifier: Apache-2.0
"""Errors of commands."""

from __future__ import annotations


class CommandError(Exception):
    """An error for the person at the command line, in one line."""


class NoJournal(CommandError):
    """There is none here, or we may not read it."""


class StillRunning(CommandError):
    """An operation that a command waited for has not ended in time, and goes on."""
