# SPDX-License-Identifier: Apache-2.0
"""Errors of a driver, for every table of failures."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface import errors

RAISED = [
    pytest.param(errors.VolumeBackendAPIException("refused"), id="backend error"),
    pytest.param(errors.VolumeDriverException("cannot"), id="driver error"),
    pytest.param(RuntimeError("anything"), id="any exception"),
    pytest.param(KeyError("x"), id="a bug of the driver"),
    pytest.param(NotImplementedError(), id="not implemented"),
    pytest.param(SystemExit(3), id="SystemExit"),
    pytest.param(KeyboardInterrupt(), id="KeyboardInterrupt"),
    pytest.param(BaseException("worse"), id="BaseException"),
]
"""Anything at all; each counts as a failure like any other."""

RUBBISH = [
    pytest.param("ok", id="text"),
    pytest.param(7, id="a number"),
    pytest.param(True, id="yes"),
    pytest.param(["x"], id="a list"),
    pytest.param({1: 2}, id="numbers for names"),
    pytest.param({"id": "v9"}, id="another row"),
    pytest.param({"no_such_column": 1}, id="an unknown column"),
    pytest.param({"host": "elsewhere"}, id="a column of ours"),
    pytest.param({"project_id": "thief"}, id="somebody else's project"),
    pytest.param({"deleted": True}, id="a deletion"),
    pytest.param({"provider_location": "x" * 300}, id="too long"),
    pytest.param({"provider_id": object()}, id="no column value"),
]
"""Answers that are no update of the resource's row."""

NOT_SIZES: list[Any] = [
    pytest.param(0, id="0"),
    pytest.param(-1, id="negative"),
    pytest.param(True, id="a flag"),
    pytest.param(1.5, id="a fraction"),
    pytest.param("5", id="text"),
    pytest.param(None, id="nothing"),
]


class _Unreadable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def _with_cause(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


RAISED += [
    pytest.param(RuntimeError(object(), b"bytes"), id="arguments that are no JSON"),
    pytest.param(RuntimeError("x" * 1_000_000), id="a megabyte of text"),
    pytest.param(_Unreadable(), id="an error without text"),
    pytest.param(_with_cause(RuntimeError("a"), SystemExit(1)), id="caused by SystemExit"),
    pytest.param(_with_cause(RuntimeError("a"), _Unreadable()), id="caused by one without text"),
    pytest.param(_with_cause(RuntimeError("a"), KeyError(b"x")), id="caused by odd arguments"),
]
