# SPDX-License-Identifier: Apache-2.0
"""The measure of vague words that ``tox -e lint`` runs."""

import pytest

from tests import words

SOURCE = '''\
"""A docstring says what."""
# A comment is for nobody.  # noqa: a marker in the middle does not hide it
LIMIT = 3  # noqa: F401 what
"""An attribute docstring was told."""
raise Error("the driver told what it lacks", "what")
'''

DOCUMENT = """\
A paragraph says what::

    what a literal block says

Then ``what`` is a literal, and somebody is a word.

.. note::
   A directive is text.

.. code-block:: ini

   what = 1
"""


def found(lines, family):
    group = words.Group((), lambda _: lines)
    return [number for number, text in group.lines("") if words.FAMILIES[family].search(text)]


def test_docstrings_and_comments_are_code():
    lines = list(words.code_lines(SOURCE))

    assert found(lines, "what") == [1]
    assert found(lines, "tell") == [4]
    assert found(lines, "nobody") == [2]


def test_literals_of_three_words_are_messages():
    lines = list(words.message_lines(SOURCE))

    assert lines == [(5, "the driver told what it lacks")]


def test_literal_blocks_are_not_measured():
    lines = list(words.document_lines(DOCUMENT))

    assert [number for number, _ in lines] == [1, 5, 6, 7, 8, 9, 10]


def test_inline_literals_are_not_measured(tmp_path, monkeypatch):
    (tmp_path / "page.rst").write_text(DOCUMENT)
    monkeypatch.setattr(words, "ROOT", tmp_path)

    (texts,) = words.Group(("*.rst",), words.document_lines).files()

    assert [texts.uses(family) for family in words.FAMILIES] == [1, 0, 1]


@pytest.mark.parametrize("ceiling, failures", [(100.0, 1), (1000.0, 0)])
def test_a_figure_above_its_ceiling_names_the_files(ceiling, failures, monkeypatch):
    monkeypatch.setitem(words.CEILINGS, "docs", {"what": ceiling})
    files = [words.Texts("page.rst", ((1, "what is it"),)), words.Texts("other.rst", ())]

    found = list(words.excesses("docs", files))

    assert len(found) == failures
    assert all("page.rst (1)" in failure for failure in found)
