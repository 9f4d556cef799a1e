# SPDX-License-Identifier: Apache-2.0
"""A machine of automaton loads prettytable when it is drawn, not before."""

from __future__ import annotations

from tests.unit.worker.compat import fresh_process

START = """
import sys
from worker.compat import deferred, native_threads
"""


def test_it_is_loaded_for_the_first_drawing() -> None:
    fresh_process.run(
        START,
        """
        from automaton.machines import FiniteMachine

        machine = FiniteMachine.build([{"name": "a", "next_states": {"go": "b"}}, {"name": "b"}])
        assert "prettytable.prettytable" not in sys.modules
        assert "go" in machine.pformat()
        assert "prettytable.prettytable" in sys.modules
        """,
    )
