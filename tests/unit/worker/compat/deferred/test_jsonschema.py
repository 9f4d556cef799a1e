# SPDX-License-Identifier: Apache-2.0
"""taskflow loads jsonschema when it validates a failure, not before."""

from __future__ import annotations

from tests.unit.worker.compat import fresh_process

START = """
import sys
from worker.compat import deferred, native_threads
from taskflow import engines, task
from taskflow.types.failure import Failure
"""


def run(script: str) -> None:
    fresh_process.run(START, script)


def test_jsonschema_is_loaded_for_the_first_validation() -> None:
    run("""
        from taskflow import exceptions
        from taskflow.patterns import linear_flow

        class Fail(task.Task):
            def execute(self):
                raise ValueError("no")

        try:
            engines.run(linear_flow.Flow("flow").add(Fail()))
        except ValueError as error:
            failure = Failure.from_exception(error)
        data = failure.to_dict()
        assert Failure.from_dict(data).exception_str == "no"
        assert "jsonschema" not in sys.modules

        Failure.validate(data)
        assert "jsonschema" in sys.modules
        try:
            Failure.validate({**data, "exc_type_names": []})
        except exceptions.InvalidFormat:
            pass
        else:
            raise AssertionError("invalid data is accepted")
        """)
