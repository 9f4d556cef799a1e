# SPDX-License-Identifier: Apache-2.0
"""holdfast flow: what runs, what ran, what failed, and what a flow consists of."""

from __future__ import annotations

import argparse
import datetime
from typing import Any

from oslo_utils import timeutils
from taskflow import states
from taskflow.flow import Flow

from flows import engine
from worker.cli.access import Command, CommandError, Lister, ShowOne
from worker.journal import ENDED, Entry

_SHAPES = {"PENDING": "[ ]", "RUNNING": "[>]", "SUCCESS": "[x]", "REVERTED": "[<]"}


class List(Lister):
    """List flows: those under way, and with --failed or --all those that ended."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which ones."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--all", action="store_true", help="those that ended as well")
        which.add_argument("--failed", action="store_true", help="those that were undone")
        which.add_argument("--unfinished", action="store_true", help="under way (the default)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the journal."""
        entries = self.access.journal.entries()
        if parsed_args.failed:
            entries = [e for e in entries if e.state in (states.REVERTED, states.FAILURE)]
        elif not parsed_args.all:
            entries = [e for e in entries if e.state not in ENDED]
        heads = ("Flow", "Method", "Resource", "State", "Task", "Age (s)", "Resumes")
        return heads, [self._row(entry) for entry in entries]

    def _row(self, entry: Entry) -> tuple[Any, ...]:
        age = int((timeutils.utcnow() - entry.accepted_at).total_seconds())
        task = "" if entry.state in ENDED else self._task(entry)
        return (
            entry.flow,
            entry.method,
            entry.resource,
            entry.state,
            task,
            age,
            entry.resumes,
        )

    def _task(self, entry: Entry) -> str:
        detail = self.access.journal.load(entry.flow)
        running = [a.name for a in detail if a.state in (states.RUNNING, states.REVERTING)]
        return running[0] if running else ""


class Show(ShowOne):
    """Show a flow: its tasks, their states and times, and what failed."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", metavar="ID", help="beginning of a flow's or resource's id")
        parser.add_argument("--traceback", action="store_true", help="where it failed")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the journal."""
        entry = self.access.flow(parsed_args.id)
        detail = self.access.journal.load(entry.flow)
        shown: dict[str, Any] = {
            "flow": entry.flow,
            "method": entry.method,
            "resource": entry.resource,
            "state": entry.state,
            "slot": entry.slot,
            "request": entry.meta.get("request_id")
            or entry.meta.get("request", {}).get("request_id"),
            "accepted": str(entry.accepted_at),
            "updated": str(entry.updated_at or ""),
            "resumes": entry.resumes,
            "failure": entry.failure or "",
        }
        for atom in detail:
            shown[f"task {atom.name}"] = f"{atom.state}{_took(atom.meta)}"
            if parsed_args.traceback and atom.failure is not None:
                shown[f"traceback of {atom.name}"] = atom.failure.traceback_str
        return list(shown), list(shown.values())


class Graph(Command):
    """Draw a flow: of an id, with the states of its tasks, or of a factory by name."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what and how."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "which", metavar="ID|FACTORY", help="a flow's id, or flows.volume.create:flow"
        )
        parser.add_argument("--format", choices=("text", "dot", "mermaid"), default="text")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Build the flow and draw it."""
        known: dict[str, str] = {}
        factory = parsed_args.which
        if ":" not in factory:
            entry = self.access.flow(factory)
            if "factory" not in entry.meta:
                raise CommandError(f"flow {entry.flow} succeeded; nothing but its outcome is kept")
            factory = entry.meta["factory"]
            known = {atom.name: atom.state for atom in self.access.journal.load(entry.flow)}
        try:
            flow = engine.factory_of(factory)()
        except LookupError as error:
            raise CommandError(str(error)) from error
        draw = {"text": _text, "dot": _dot, "mermaid": _mermaid}[parsed_args.format]
        self.app.stdout.write("\n".join(draw(flow, known)) + "\n")


def _took(meta: dict[str, Any]) -> str:
    """Tell when a task began and how long it took, as far as that is known."""
    if "began" not in meta:
        return ""
    began = datetime.datetime.fromtimestamp(meta["began"], datetime.UTC)
    text = f", began {began:%H:%M:%S}.{began.microsecond // 1000:03d}"
    if "ended" in meta:
        text += f", took {meta['ended'] - meta['began']:.3f} s"
    return text


def _steps(flow: Flow) -> list[str]:
    return [node.name for node, _data in flow.iter_nodes()]


def _text(flow: Flow, known: dict[str, str]) -> list[str]:
    lines = [flow.name]
    for name in _steps(flow):
        state = known.get(name, "PENDING")
        mark = _SHAPES.get(state, "[!]")
        lines += ["  |", f"  {mark} {name}" + (f"  {state}" if known else "")]
    return lines


def _dot(flow: Flow, known: dict[str, str]) -> list[str]:
    steps = _steps(flow)
    lines = [f'digraph "{flow.name}" {{', "  node [shape=box];"]
    lines += [f'  "{name}" [label="{name}\\n{known.get(name, "")}"];' for name in steps]
    lines += [f'  "{one}" -> "{other}";' for one, other in zip(steps, steps[1:], strict=False)]
    return [*lines, "}"]


def _mermaid(flow: Flow, known: dict[str, str]) -> list[str]:
    steps = _steps(flow)
    labels = {name: " ".join(filter(None, (name, known.get(name)))) for name in steps}
    lines = ["flowchart TD", *(f'  {name}["{label}"]' for name, label in labels.items())]
    return lines + [f"  {one} --> {other}" for one, other in zip(steps, steps[1:], strict=False)]
