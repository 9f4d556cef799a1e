# SPDX-License-Identifier: Apache-2.0
"""Dispatch over several endpoints: one owner for each method, and checked arguments."""

from __future__ import annotations

from typing import Any

import pytest

from flows.volume import create
from tests.dispatchers import backup_dispatcher, volume_dispatcher
from worker.rpc.dispatch import (
    BadArguments,
    DirectCall,
    Dispatcher,
    DuplicateMethod,
    UnknownMethod,
    UnsupportedVersion,
    exposed,
)
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext


class Volumes:
    @exposed("3.0", quick=True)
    def create(self, request: RequestContext, volume: Any, size: int = 1) -> Operation:
        return Operation(create.flow, ("volume", volume), {"size": size}, shared=("s",))

    def helper(self) -> None: ...


class Queries:
    @exposed("2.1", "3.12", journalled=False)
    def ask(self, request: RequestContext) -> str:
        return "answer"


class OtherVolumes:
    @exposed("3.0")
    def create(self, request: RequestContext, volume: Any) -> Any: ...


@pytest.fixture
def dispatcher() -> Dispatcher:
    return Dispatcher([Volumes(), Queries()], "3.20")


def message(method: Any = "create", version: Any = "3.0", **args: Any) -> dict[str, Any]:
    return {"method": method, "version": version, "args": args}


class TestEndpoints:
    def test_methods_of_all_endpoints_are_found(self, dispatcher: Dispatcher) -> None:
        assert dispatcher.methods == {"create", "ask"}
        assert dispatcher.journalled == dispatcher.quick == {"create"}

    def test_an_operation_knows_whether_it_is_done_in_a_moment(
        self, dispatcher: Dispatcher
    ) -> None:
        operation = dispatcher.dispatch(message(volume="v1"), {})

        assert isinstance(operation, Operation) and operation.quick

    def test_a_method_that_starts_no_flow_is_called_directly(self, dispatcher: Dispatcher) -> None:
        call = dispatcher.dispatch(message("ask"), {})

        assert isinstance(call, DirectCall)
        assert (call.method, call.invoke()) == ("ask", "answer")

    def test_a_method_of_two_endpoints_is_an_error(self) -> None:
        with pytest.raises(DuplicateMethod, match="Volumes and OtherVolumes both expose create"):
            Dispatcher([Volumes(), Queries(), OtherVolumes()], "3.20")

    def test_one_endpoint_listed_twice_is_an_error(self) -> None:
        with pytest.raises(DuplicateMethod):
            Dispatcher([Queries(), Queries()], "3.20")

    def test_the_services_expose_each_method_once(self) -> None:
        assert len(volume_dispatcher().methods) == 58
        assert len(backup_dispatcher().methods) == 14


class TestDispatch:
    def test_defaults_are_left_out_and_unknown_arguments_dropped(
        self, dispatcher: Dispatcher
    ) -> None:
        operation = dispatcher.dispatch(message(volume="v", newer="x"), {})

        assert operation == Operation(
            create.flow, ("volume", "v"), {"size": 1}, shared=("s",), method="create", quick=True
        )

    def test_an_operation_has_the_request_of_its_message(self, dispatcher: Dispatcher) -> None:
        context = {"request_id": "req-1", "user_id": "u"}
        operation = dispatcher.dispatch(message(volume="v"), context)

        assert isinstance(operation, Operation)
        assert (operation.request.request_id, operation.request.user_id) == ("req-1", "u")

    @pytest.mark.parametrize("method", ["", "unknown", "helper", "__init__", "_x", None, 7])
    def test_a_method_that_is_not_exposed(self, dispatcher: Dispatcher, method: Any) -> None:
        with pytest.raises(UnknownMethod):
            dispatcher.dispatch(message(method), {})

    @pytest.mark.parametrize("version", ["3.21", "4.0", "2.1", "x", "3.x", None])
    def test_a_version_of_another_service(self, dispatcher: Dispatcher, version: Any) -> None:
        with pytest.raises(UnsupportedVersion):
            dispatcher.dispatch(message(version=version, volume="v"), {})

    @pytest.mark.parametrize("args", [[1], {}, {"volume": {"versioned_object.name": "Volume"}}])
    def test_arguments_that_do_not_fit(self, dispatcher: Dispatcher, args: Any) -> None:
        with pytest.raises(BadArguments, match="create"):
            dispatcher.dispatch({"method": "create", "version": "3.0", "args": args}, {})
