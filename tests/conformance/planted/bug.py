# SPDX-License-Identifier: Apache-2.0
"""One planted bug: a correct driver of which one behaviour is changed."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """A change of the source of a correct driver.

    :param name: what is wrong, in words.
    :param driver: the module of the correct driver in ``planted.correct``.
    :param subject: part of the name of the tests that are run first.
    :param changes: pairs of a text, which the source has once, and its replacement.
    :param method: the method that a subclass overrides, with ``before`` and ``after``.
    :param before: statements before the correct method.
    :param after: statements after it; ``answer`` is its answer, which they may replace.
    """

    name: str
    driver: str
    subject: str
    changes: tuple[tuple[str, str], ...] = ()
    method: str = ""
    before: str = ""
    after: str = ""

    def source(self, correct: str, kind: type) -> str:
        """Return the source of the driver with the bug, as the class ``Mutant``.

        :param correct: the source of the correct driver.
        :param kind: its class.
        """
        for old, new in self.changes:
            assert correct.count(old) == 1, f"{self.name}: {correct.count(old)} times {old!r}"
            correct = correct.replace(old, new)
        text = f"{correct}\n\nclass Mutant({kind.__name__}):\n"
        if not self.method:
            return f"{text}    pass\n"
        header, given = _signature(kind, self.method)
        lines = [
            f"def {self.method}({header}):",
            textwrap.indent(self.before, "    "),
            f"    answer = super().{self.method}({given})",
            textwrap.indent(self.after, "    "),
            "    return answer",
        ]
        return text + textwrap.indent("\n".join(line for line in lines if line), "    ") + "\n"


def _signature(kind: type, method: str) -> tuple[str, str]:
    """Return the parameters of a method as they are declared, and as a call passes them."""
    signature = inspect.signature(getattr(kind, method))
    parameters = [
        one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()
    ]
    declared = inspect.Signature([_simple(one) for one in parameters])
    given = [_given(one) for one in parameters[1:]]
    return str(declared)[1:-1], ", ".join(given)


def _simple(one: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter whose default can be written down."""
    if one.default in (inspect.Parameter.empty, None, True, False, ""):
        return one
    return one.replace(default=_Written(f"{type(one.default).__name__}()"))


class _Written(str):
    def __repr__(self) -> str:
        return str(self)


def _given(one: inspect.Parameter) -> str:
    if one.kind is inspect.Parameter.VAR_KEYWORD:
        return f"**{one.name}"
    return f"{one.name}={one.name}" if one.kind is inspect.Parameter.KEYWORD_ONLY else one.name


@dataclass(frozen=True)
class Table:
    """Makes the bugs of one part of the contract."""

    driver: str
    subject: str

    def text(self, name: str, *pairs: str) -> Bug:
        """Replace texts: old, new, old, new."""
        changes = tuple(zip(pairs[::2], pairs[1::2], strict=True))
        return Bug(name, self.driver, self.subject, changes)

    def before(self, name: str, method: str, statements: str) -> Bug:
        """Do something before the method."""
        return Bug(name, self.driver, self.subject, (), method, before=statements)

    def after(self, name: str, method: str, statements: str) -> Bug:
        """Do something after the method, or change its answer."""
        return Bug(name, self.driver, self.subject, (), method, after=statements)
