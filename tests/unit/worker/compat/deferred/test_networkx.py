# SPDX-License-Identifier: Apache-2.0
"""Most of networkx is not loaded for a flow, and all of it for any other user."""

from __future__ import annotations

import pytest

from tests.unit.worker.compat import fresh_process

START = """
import sys
from worker.compat.deferred import networkx as deferral
import networkx as nx

def loaded():
    return sum(name.startswith("networkx.") for name in sys.modules)
"""


def run(script: str) -> None:
    fresh_process.run(START, script)


def test_a_flow_runs_without_most_of_networkx() -> None:
    run("""
        from worker.compat import native_threads
        from taskflow import engines, task
        from taskflow.patterns import graph_flow, linear_flow, unordered_flow

        ran = []

        class Note(task.Task):
            def execute(self):
                ran.append(self.name)

        inner = graph_flow.Flow("inner").add(Note("b"), Note("c"))
        beside = unordered_flow.Flow("beside").add(Note("d"), Note("e"))
        engines.run(linear_flow.Flow("outer").add(Note("a"), inner, beside, Note("f")))
        assert ran[0] == "a" and ran[-1] == "f" and len(ran) == 6, ran
        assert loaded() < 60, loaded()  # of 285
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
def test_a_missing_name_loads_the_rest(expression: str) -> None:
    run(f"assert {expression}")


def test_a_package_imported_by_its_path_is_complete() -> None:
    run("""
        from networkx.algorithms.shortest_paths import dijkstra_path
        from networkx.algorithms import bipartite
        assert bipartite.is_bipartite(nx.path_graph(3))
        """)


def test_the_loaded_rest_is_the_one_of_a_plain_import() -> None:
    run("""
        def names():
            packages = ["networkx", *(f"networkx.{name}" for name in deferral._PACKAGES)]
            return {
                (package, name): getattr(value, "__qualname__", None)
                for package in packages
                for name, value in vars(sys.modules[package]).items()
                if not name.startswith("_")
            }

        nx.shortest_path
        after_deferral = names()
        for name in [name for name in sys.modules if name.partition(".")[0] == "networkx"]:
            del sys.modules[name]
        import networkx
        assert names() == after_deferral
        """)


def test_an_unknown_name_is_an_attribute_error() -> None:
    run("""
        for ask in (lambda: nx.no_such_thing, lambda: nx.algorithms.no_such_thing):
            try:
                ask()
            except AttributeError as error:
                assert "no_such_thing" in str(error)
            else:
                raise AssertionError("it is there")
        """)


def test_threads_that_ask_at_once_find_all_of_it() -> None:
    run("""
        import threading

        found, together = [], threading.Barrier(8)

        def ask():
            together.wait()
            found.append(nx.shortest_path)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        """)
