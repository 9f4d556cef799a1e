# SPDX-License-Identifier: Apache-2.0
"""A flow as text, for Graphviz, or for Mermaid: its tasks and their links."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from taskflow.flow import Flow

from worker.cli.lookup.errors import CommandError
from worker.cli.output.colour import FILL, Colour, meaning_of
from worker.journal.entries import tasks
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.entries.tasks import Task
from worker.journal.journal import Journal
from worker.printable import printable

_MARKS = {"": "[ ]", "PENDING": "[ ]", "RUNNING": "[>]", "SUCCESS": "[x]", "REVERTED": "[<]"}

Known = Mapping[str, Task]
Draw = Callable[[Flow, Known, Colour], list[str]]


def flow_of_factory(path: str) -> Flow:
    """Build the flow of a factory. :raises LookupError: there is none of that name."""
    return tasks.build(path, {})


def flow_of_entry(journal: Journal, entry: JournalEntry) -> tuple[Flow, Known]:
    """Build the flow of an entry, with its tasks.

    :raises CommandError: it is no operation of this version.
    """
    flow = tasks.flow_of(entry)
    if flow is None:
        reason = tasks.unknown(entry) or entry.failure or "it is of another version"
        raise CommandError(f"{entry.flow} cannot be drawn: {reason}")
    return flow, {task.name: task for task in tasks.tasks_of(journal, entry)}


def text(flow: Flow, known: Known, colour: Colour) -> list[str]:
    """Draw the tasks below each other, with a mark for each state."""
    names = names_of(flow)
    widest = max(map(len, names), default=0)
    lines = [colour(flow.name, "strong")]
    for name in names:
        task = known.get(name)
        state = task.shown if task else ""
        line = f"{_MARKS.get(state, '[!]')} {name:<{widest}}"
        if task:
            line += f"  {state:<8}  {task.took_text}"
        lines += ["  |", "  " + colour.state(line.rstrip(), state)]
    return lines


def dot(flow: Flow, known: Known, colour: Colour) -> list[str]:
    """Draw for Graphviz: ``| dot -Tsvg``."""
    lines = [f'digraph "{flow.name}" {{', '  node [shape=box, style="rounded,filled"];']
    for name in names_of(flow):
        fill = FILL.get(_meaning(name, known), "white")
        label = "\\n".join(_label(name, known))
        lines.append(f'  "{name}" [label="{label}", fillcolor={fill}];')
    lines += [f'  "{one}" -> "{other}";' for one, other in links_of(flow)]
    return [*lines, "}"]


def mermaid(flow: Flow, known: Known, colour: Colour) -> list[str]:
    """Draw for Mermaid, which wikis and code hosts show."""
    lines = ["flowchart TD"]
    for name in names_of(flow):
        lines.append(f'  {name}["{"<br/>".join(_label(name, known))}"]')
    lines += [f"  {one} --> {other}" for one, other in links_of(flow)]
    for name in names_of(flow):
        if fill := FILL.get(_meaning(name, known)):
            lines.append(f"  style {name} fill:{fill}")
    return lines


FORMATS: Mapping[str, Draw] = {"text": text, "dot": dot, "mermaid": mermaid}


def names_of(flow: Flow) -> list[str]:
    """Return the names of the tasks, in their order."""
    return [node.name for node, _data in flow.iter_nodes()]


def links_of(flow: Flow) -> Sequence[tuple[str, str]]:
    """Return the pairs of tasks of which the second one follows the first."""
    return [(one.name, other.name) for one, other, _data in flow.iter_links()]


def _meaning(name: str, known: Known) -> str:
    return meaning_of(known[name].shown) if name in known else ""


def _label(name: str, known: Known) -> list[str]:
    task = known.get(name)
    shown = filter(None, (task.shown, task.took_text)) if task else ()
    # A quote would end the label.
    return [printable(part).replace('"', "'").replace("\\", "/") for part in (name, *shown)]
