# SPDX-License-Identifier: Apache-2.0
"""Most of networkx is not loaded, and is there for whoever asks for it all the same."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

START = """
import sys
from worker.compat import networkx as lean
import networkx as nx

def loaded():
    return sum(name.startswith("networkx.algorithms.") for name in sys.modules)
"""


def run(script: str) -> None:
    """Run a script in a process of its own, as modules stay loaded."""
    done = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_flow_runs_without_the_algorithms() -> None:
    run("""
        from worker.compat import native_threads
        from taskflow import engines, task
        from taskflow.patterns import graph_flow, linear_flow

        ran = []

        class Note(task.Task):
            def execute(self):
                ran.append(self.name)

        inner = graph_flow.Flow("inner").add(Note("b"), Note("c"))
        engines.run(linear_flow.Flow("outer").add(Note("a"), inner, Note("d")))
        assert ran[0] == "a" and ran[-1] == "d" and len(ran) == 4, ran
        assert loaded() <= 7, loaded()
        """)


@pytest.mark.parametrize(
    "expression",
    [
        "nx.shortest_path(nx.path_graph(3), 0, 2) == [0, 1, 2]",
        "nx.algorithms.shortest_path(nx.Graph([(0, 1)]), 0, 1) == [0, 1]",
        "list(nx.algorithms.dag.topological_sort(nx.DiGraph([(1, 2)]))) == [1, 2]",
        "nx.generators.path_graph(2).number_of_nodes() == 2",
        "nx.cycles.simple_cycles and nx.algorithms.compose",
        "list(nx.generate_edgelist(nx.path_graph(2), data=False)) == ['0 1']",
        "nx.is_directed_acyclic_graph(nx.DiGraph([(1, 2)]))",
    ],
)
def test_whatever_is_asked_for_is_there(expression: str) -> None:
    run(f"assert {expression}")


def test_its_modules_are_those_that_it_has_by_itself() -> None:
    run("""
        nx.shortest_path
        lean_names = {name for name in vars(nx) if not name.startswith("_")}
        lean._forget()
        import networkx as whole
        names = {name for name in vars(whole) if not name.startswith("_")}
        assert names <= lean_names, names - lean_names
        """)


def test_what_there_is_not_is_told_as_ever() -> None:
    run("""
        for ask in (lambda: nx.no_such_thing, lambda: nx.algorithms.no_such_thing):
            try:
                ask()
            except AttributeError as error:
                assert "no_such_thing" in str(error)
            else:
                raise AssertionError("it is there")
        """)


def test_another_networkx_is_loaded_whole() -> None:
    run("""
        lean._forget()
        lean._ENOUGH.append("no_such_module")
        lean._import()
        import networkx as nx
        assert not lean._is_lean()
        assert nx.path_graph(2).number_of_nodes() == 2
        """)
