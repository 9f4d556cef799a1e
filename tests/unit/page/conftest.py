# SPDX-License-Identifier: Apache-2.0
"""A site over a journal and a database with content, one for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.page.content import Content, realistic
from worker.cli.access import Access
from worker.page.site import Site


class Reader:
    """Asks a site for pages.

    :param ids: of content, by names.
    """

    def __init__(self, content: Content, ids: dict[str, str], site: Site) -> None:
        self.content, self.ids, self.site = content, ids, site

    def answer(
        self, path: str, query: str = "", *, part: bool = False, **state: Any
    ) -> dict[str, Any]:
        """Return the answer to a request."""
        asked = {"path": path, "query": query, "part": part}
        return self.site.answer({**asked, "state": self.content.state(**state)})

    def page(self, path: str, query: str = "", **more: Any) -> str:
        """Return the content of a page that there is."""
        found = self.answer(path, query, **more)
        assert found["status"] == "200 OK", found["content"]
        return str(found["content"])


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    content = Content(tmp_path_factory.mktemp("page"))
    ids = realistic(content)
    access = Access([str(content.file)], only_read=True)
    yield Reader(content, ids, Site(access))
    access.close()
    content.close()
