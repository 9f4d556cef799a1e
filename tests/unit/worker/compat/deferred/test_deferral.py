# SPDX-License-Identifier: Apache-2.0
"""A module that cannot run for the moment runs at its next use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from worker.compat.deferred.deferral import defer


def test_one_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deferred_once.py").write_text("open('there').close(); name = 'found'")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    defer("deferred_once")
    module = sys.modules["deferred_once"]
    try:
        with pytest.raises(FileNotFoundError):
            _ = module.name
        (tmp_path / "there").touch()

        assert module.name == "found"
    finally:
        del sys.modules["deferred_once"]
