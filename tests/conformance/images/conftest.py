# SPDX-License-Identifier: Apache-2.0
"""The image service under test, and the images of a test, which are removed at its end."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg

from ..checks import leaks, secrets
from ..checks.first_set_up import set_up
from ..loading import load

_PIECE = 1024**2


def pieces(data: bytes) -> list[bytes]:
    """Return data in parts, as a caller sends it."""
    return [data[at : at + _PIECE] for at in range(0, len(data), _PIECE)] or [data]


class Images:
    """Makes services, each as of another process, and images."""

    def __init__(self, case: Any, kind: type, values: dict[str, Any]) -> None:
        self.case = case
        self.kind = kind
        self.values = values
        self.context = SimpleNamespace(is_admin=True, user_id="u", project_id="p", roles=["admin"])
        self._ids: list[str] = []
        self.service = self.made()

    def made(self) -> Any:
        """Return another instance."""
        made = self.kind(SimpleNamespace(**self.values, safe_get=self.values.get))
        made.check()
        return made

    def new_id(self) -> str:
        """Return the id of an image that is removed at the end."""
        self._ids.append(str(uuid.uuid4()))
        return self._ids[-1]

    def image(self, data: bytes | None = b"data", **meta: Any) -> str:
        """Return the id of an image."""
        image_id = self.new_id()
        wanted = {"id": image_id, "name": "n", "disk_format": "raw", "container_format": "bare"}
        chunks = None if data is None else iter(pieces(data))
        self.service.create(self.context, {**wanted, **meta}, chunks)
        return image_id

    def read(self, image_id: str, service: Any = None) -> bytes:
        """Return the data of an image."""
        return b"".join((service or self.service).download(self.context, image_id))

    def files(self) -> set[str]:
        """Return the files of the service's directories."""
        options = {name: str(value) for name, value in self.values.items()}
        return leaks.files(leaks.directories(options), self.case.ignored)

    def clear(self) -> None:
        """Remove the images of the test."""
        for image_id in self._ids:
            self.service.delete(self.context, image_id)


def _made(case: Any, place: Path) -> Images:
    kind = load(case.driver, "image")
    conf = cfg.ConfigOpts()
    conf.register_opts(kind.OPTS)
    conf.register_opts([cfg.StrOpt("state_path", default=str(place))])
    for name, value in case.options.items():
        conf.set_override(name, value)
    return Images(case, kind, {option.dest: conf[option.dest] for option in kind.OPTS})


@pytest.fixture
def images(
    request: pytest.FixtureRequest, image_case: Any, tmp_path: Path, scratch: Path
) -> Iterator[Images]:
    made = set_up(request, lambda: _made(image_case, tmp_path))
    kind = made.kind
    before, texts, root = made.files(), secrets.LoggedTexts(), logging.getLogger()
    level = root.level
    root.addHandler(texts)
    root.setLevel(logging.DEBUG)
    try:
        yield made
        made.clear()
    finally:
        root.removeHandler(texts)
        root.setLevel(level)
    hidden = secrets.of_options(kind.OPTS, {k: str(v) for k, v in made.values.items()})
    assert [text for text in texts.texts if secrets.within(text, hidden)] == []
    left = {name for name in made.files() - before if not Path(name).is_dir()}
    assert left == set(), "left behind"
    assert os.listdir(scratch) == [], "temporary files left behind"


@pytest.fixture
def refused() -> Callable[..., Any]:
    """A function that expects an error without secrets."""
    return pytest.raises
