# SPDX-License-Identifier: Apache-2.0
"""All checks of one run, and their result in one line."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.checks import calls, ends
from tests.cluster.checks.evidence import KINDS, Evidence, Finding
from tests.cluster.checks.takeovers import Takeover, figures, takeovers

CHECKS = (
    calls.overlaps,
    calls.stale_writes,
    calls.done_twice,
    ends.unfinished,
    ends.missing,
    ends.leaks,
)


@dataclass
class Verdict:
    """The result of one run, or of several together.

    :param epochs: of all slots, under which changes were made.
    """

    faults: int = 0
    operations: int = 0
    failed: int = 0
    calls: int = 0
    epochs: int = 0
    findings: list[Finding] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, evidence: Evidence) -> Verdict:
        """Judge a run."""
        return cls(
            faults=sum(one.counted for one in evidence.faults),
            operations=len(evidence.entries),
            failed=sum(entry.failed for entry in evidence.entries),
            calls=len(calls.intervals(evidence.lines)),
            epochs=len(calls.epochs(evidence.lines)),
            findings=[finding for check in CHECKS for finding in check(evidence)],
            takeovers=takeovers(evidence.lines, evidence.faults),
            kinds=Counter(one.kind for one in evidence.faults if one.counted),
        )

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(
            *(
                getattr(self, name) + getattr(other, name)
                for name in ("faults", "operations", "failed", "calls", "epochs")
            ),
            self.findings + other.findings,
            self.takeovers + other.takeovers,
            self.kinds + other.kinds,
        )

    @property
    def is_good(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def figures(self) -> dict[str, Any]:
        """Return the figures of the result."""
        count = Counter(one.kind for one in self.findings)
        return {
            "faults": self.faults,
            **{kind: count[kind] for kind in KINDS},
            **figures(self.takeovers),
            "takeovers": len(self.takeovers),
            "operations": self.operations,
            "failed": self.failed,
            "epochs": self.epochs,
        }

    def line(self) -> str:
        """Return the result as one line of JSON."""
        return json.dumps(self.figures())
