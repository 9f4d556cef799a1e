# SPDX-License-Identifier: Apache-2.0
"""Carry out an audit, and write its figures."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

from worker.audit import last_run
from worker.audit.drift import Kind
from worker.audit.drift_search import Audit, Report
from worker.audit.every_kind import KINDS as KINDS
from worker.audit.sources import Look
from worker.cli.access import Access, CommandError
from worker.cli.auditing import audited_places
from worker.cli.auditing.repairs import REPAIRED, Repairs


def audited(
    access: Access, options: argparse.Namespace, warn: Callable[[str], None]
) -> tuple[Report, list[str]]:
    """Audit, repair, and write the figures of a whole audit for the metrics.

    :param options: the command line.
    :param warn: takes a line for the operator.
    :returns: the report, and the outcome of the repair of each finding.
    :raises CommandError: a name is unknown, or a file cannot be read.
    """
    began = time.time()
    kinds = _chosen(options.kind)
    for kind in _chosen(options.fix) if options.fix else ():
        if not kind.repair:
            raise CommandError(f"{kind.name} has no repair: {kind.remedy}")
    sources = audited_places.sources_of(access, options.backend)
    report = Audit(sources, kinds, lambda: time.sleep(options.pause), options.recent).run()
    for place, reason in sorted(report.unable.items()):
        warn(f"{place} is not audited: {reason}")
    repairs = Repairs(access, warn)
    outcomes = [
        repairs.apply(one) if one.kind.name in options.fix and one.can_be_repaired else ""
        for one in report.findings
    ]
    if not options.kind and not options.backend:
        ended = time.time()
        repaired = [
            (one.kind.name, one.drift.resource_id)
            for one, outcome in zip(report.findings, outcomes, strict=True)
            if outcome == REPAIRED
        ]
        figures = last_run.LastRun(ended, ended - began, report.counts(), report.unable, repaired)
        _write(access, figures, warn)
    return report, outcomes


def _chosen(names: Sequence[str]) -> Sequence[Kind[Look]]:
    """Return the kinds of some names, all without names."""
    known = {kind.name: kind for kind in KINDS}
    if unknown := [name for name in names if name not in known]:
        raise CommandError(f"no kind {unknown[0]}; see: holdfast audit kinds")
    return [known[name] for name in names] or KINDS


def _write(access: Access, figures: last_run.LastRun, warn: Callable[[str], None]) -> None:
    try:
        last_run.write(access.conf.state_path, figures)
    except OSError as error:
        warn(f"the figures for the metrics are not written: {error}")
