# SPDX-License-Identifier: Apache-2.0
"""Secrets of connectors, contexts and messages in what the journal keeps of failed operations."""

from __future__ import annotations

import json
import sqlite3
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
from oslo_concurrency.processutils import ProcessExecutionError
from taskflow import states
from taskflow.flow import Flow
from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.errors import VolumeBackendAPIException
from flows import storable_errors
from flows.factories import registered
from flows.lifecycle import Step
from flows.secret_texts import masked_text, masked_value
from tests import messages
from tests.servers import until
from tests.unit.worker.execution.test_operation_pool import Bench
from worker.execution.operator_requests import RequestHandler, RequestRefused
from worker.execution.retry import JournalRetry
from worker.execution.runs.operation_run import OperationRun
from worker.rpc.dispatch import Dispatcher, exposed
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

SECRET = "hunter2-of-the-initiator"
CONNECTOR = {
    "host": "compute",
    "initiator": "iqn.2005-03.org.x:1",
    "auth_username": "u",
    "auth_password": SECRET,
    "targets": [{"chap_secret": SECRET}],
}


_NOT_AGAIN = "flow %s cannot be reverted again"

SEEN: list[tuple[Any, Any]] = []
"""Arguments and results of reverts."""


class Prepared(Step, task="prepare"):
    """Keep the connector as a result. Idempotent: it changes nothing."""

    default_provides = "wanted"

    def execute(self, ctx: Any, connector: dict[str, Any]) -> dict[str, Any]:
        return {**connector, "mode": "rw"}


class Failing(Step, task="fail"):
    """Fail with the words of a backend. Idempotent: it changes nothing."""

    def execute(self, ctx: Any, wanted: dict[str, Any]) -> None:
        try:
            raise ValueError(f"login failed: auth_password = '{wanted['auth_password']}'")
        except ValueError as error:
            raise VolumeBackendAPIException("the backend refused") from error


class Unrevertable(Prepared, task="half"):
    """Keep the connector, and fail to be reverted. Idempotent: it changes nothing."""

    default_provides = "kept"

    def revert(self, ctx: Any, connector: dict[str, Any], result: Any = None) -> None:
        SEEN.append((connector, result))
        raise OSError(f"{{'auth_password': '{connector['auth_password']}'}}")


class SpokenError(Exception):
    """Its text is not in its arguments, as that of Cinder's errors."""

    def __init__(self, text: str, details: dict[str, str]) -> None:
        super().__init__(details)
        self.msg = text

    def __str__(self) -> str:
        return self.msg


class Speaking(Step, task="speak"):
    """Fail with an error of a driver's own class. Idempotent: it changes nothing."""

    def execute(self, ctx: Any, connector: dict[str, Any]) -> None:
        secret = connector["auth_password"]
        raise SpokenError(f"auth_password = '{secret}'", {"auth_password": secret})


@registered
def speaking_connection() -> Flow:
    return linear_flow.Flow("speaking").add(Prepared(), Speaking())


@registered
def failing_connection() -> Flow:
    return linear_flow.Flow("failing").add(Prepared(), Failing())


@registered
def stuck_connection() -> Flow:
    return linear_flow.Flow("stuck").add(Unrevertable(), Prepared(), Failing())


class Endpoint:
    @exposed("3.0")
    def failing(self, request: RequestContext, connector: dict[str, Any]) -> Operation:
        return self._operation(failing_connection, connector)

    @exposed("3.0")
    def stuck(self, request: RequestContext, connector: dict[str, Any]) -> Operation:
        return self._operation(stuck_connection, connector)

    @exposed("3.0")
    def speaking(self, request: RequestContext, connector: dict[str, Any]) -> Operation:
        return self._operation(speaking_connection, connector)

    def _operation(self, factory: Any, connector: dict[str, Any]) -> Operation:
        args = {"connector": connector}
        return Operation(factory, ("volume", "v1"), args, answer=dict, when_interrupted="revert")


def rows(place: Path) -> str:
    """Return all that the journal's tables hold."""
    with sqlite3.connect(place / "journal.sqlite") as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return "".join(
            str(connection.execute(f"SELECT * FROM {name}").fetchall())
            for (name,) in tables.fetchall()
        )


@pytest.mark.parametrize(("method", "state"), [("failing", "REVERTED"), ("stuck", "FAILURE")])
def test_the_connector_of_a_failed_call_is_kept_without_its_secrets(
    bench: Bench,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    method: str,
    state: str,
) -> None:
    bench.intake._dispatcher = Dispatcher([Endpoint()], "3.0")
    message = {"method": method, "version": "3.0", "args": {"connector": CONNECTOR}}
    with pytest.raises(VolumeBackendAPIException):
        messages.call(bench.intake, message, {"auth_token": SECRET})
    (entry,) = bench.journal.entries()

    assert entry.state == getattr(states, state)
    assert SECRET not in rows(tmp_path)
    assert SECRET not in caplog.text
    assert "iqn.2005-03.org.x:1" in rows(tmp_path)


def test_a_late_revert_gets_what_the_first_one_got(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver's call that ends after its operation is reverted without an operator."""
    bench.intake._dispatcher = Dispatcher([Endpoint()], "3.0")
    runs: list[OperationRun] = []
    unended = bench.operations._runs
    add = unended.add
    monkeypatch.setattr(unended, "add", lambda run: (runs.append(run), add(run))[1])
    SEEN.clear()
    message = {"method": "stuck", "version": "3.0", "args": {"connector": CONNECTOR}}
    with pytest.raises(VolumeBackendAPIException):
        messages.call(bench.intake, message, {})
    assert SECRET not in rows(tmp_path)
    runs[0].ended.set()
    bench.operations.resumed.revert_late(runs[0])
    bench.operations.resumed.start()
    until(lambda: len(SEEN) == 2 and bench.operations.find(runs[0].flow) is None, 30, "the revert")

    assert SEEN[0] == SEEN[1] == (CONNECTOR, {**CONNECTOR, "mode": "rw"})
    assert SECRET not in rows(tmp_path)


def test_the_text_of_any_class_of_errors_is_kept_without_its_secrets(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench.intake._dispatcher = Dispatcher([Endpoint()], "3.0")
    message = {"method": "speaking", "version": "3.0", "args": {"connector": CONNECTOR}}
    with pytest.raises(Exception):  # noqa: B017,PT011 - of the driver's class, or a replacement
        messages.call(bench.intake, message, {})

    assert SECRET not in rows(tmp_path)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        SpokenError(f"auth_password = '{SECRET}'", {"auth_password": SECRET}),
        OSError(5, f"auth_password = '{SECRET}'", "file"),
        ValueError({"auth_password": SECRET}),
        KeyError(f"--password {SECRET}"),
        ProcessExecutionError(stderr=f"password={SECRET}", cmd=f"x --password {SECRET}"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_keeps_its_class_and_not_its_secrets(error: Exception) -> None:
    kept = storable_errors.storable(error, "here")

    assert type(kept).__qualname__ == type(error).__qualname__
    assert isinstance(kept, type(error))
    assert SECRET not in "".join(traceback.format_exception(kept)) + str(kept.args)
    assert SECRET not in str(Failure.from_exception(kept).to_dict())


@pytest.mark.parametrize("secret", [SECRET, None])
def test_nothing_is_reverted_again_with_masked_values(
    bench: Bench, caplog: pytest.LogCaptureFixture, secret: str | None
) -> None:
    bench.intake._dispatcher = Dispatcher([Endpoint()], "3.0")
    connector = {"host": "compute", "auth_password": secret}
    message = {"method": "stuck", "version": "3.0", "args": {"connector": connector}}
    with pytest.raises(VolumeBackendAPIException):
        messages.call(bench.intake, message, {})
    handler = RequestHandler(bench.journal, JournalRetry(bench.stopping), bench.operations)
    [entry] = bench.journal.entries(among=[states.FAILURE])

    [line] = [one for one in caplog.messages if "was not reverted entirely" in one]
    if secret is None:
        assert line.endswith(f"look, then: holdfast flow revert {entry.flow}")
        assert "repeated" in handler.revert(entry.flow)
    else:
        assert "holdfast flow revert" not in line
        assert line.endswith(f"remove its remains on the backend: {_NOT_AGAIN % entry.flow}")
        with pytest.raises(RequestRefused, match="without the passwords"):
            handler.revert(entry.flow)


@pytest.mark.parametrize(
    "text",
    ["\\" * 200_000, '"' + "token" * 40_000, "password" + " " * 200_000, '"a":"' * 40_000]
    + ["://a:" * 40_000, "://a:@" * 40_000, ",:@" * 60_000]
    + ["a:" * 100_000, "a:a@" * 50_000, "sshpass " * 25_000, "community" * 20_000]
    + ["auth_key" * 25_000, "a=" * 100_000, "a." * 100_000 + "=", "authorization:" * 15_000],
    ids=lambda text: text[:10],
)
def test_no_text_takes_long_to_be_masked(text: str) -> None:
    began = time.thread_time()
    masked_text(text)

    assert time.thread_time() - began < 5.0


def test_a_text_of_a_mebibyte_is_cut_before_it_is_masked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = []
    monkeypatch.setattr(
        storable_errors, "masked_text", lambda text: lengths.append(len(text)) or text
    )
    long = "x" * (1 << 20)
    bench.journal.rejected.add("m1", "x", long, body=long)
    storable_errors.text_of(ValueError(long))
    storable_errors.traceback_of(ValueError(long))

    assert lengths and max(lengths) < 1 << 17


def test_a_message_that_cannot_be_read_is_kept_without_its_secrets(
    bench: Bench, tmp_path: Path
) -> None:
    inner = {"method": "x", "_context_auth_token": SECRET, "args": {"connector": CONNECTOR}}
    whole = json.dumps({"oslo.version": "9.9", "oslo.message": json.dumps(inner)})
    cut = whole[: whole.rindex(SECRET) + 6]
    for body in (whole, cut, json.dumps(inner), json.dumps(inner)[:-20]):
        bench.intake._rejected.unreadable(body.encode(), ValueError(f"not {body}"))

    assert len(bench.journal.entries(rejected=True)) == 4
    assert "hunter" not in rows(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        f"auth_password='{SECRET}'",
        f'{{"chap_secret": "{SECRET}"}}',
        json.dumps(json.dumps({"_context_auth_token": SECRET})),
        f"mysql+pymysql://cinder:{SECRET}@db/cinder",
        f"mysql+pymysql://cinder:p@{SECRET}@db/cinder",
        f"rabbit://u:{SECRET}@a,u:{SECRET}@b//",
        f"rabbit://u:p@{SECRET}@a,u:p@{SECRET}@b//",
        f"--password {SECRET}",
        f"sshpass -p {SECRET} ssh admin@array",
        f"sshpass -p'{SECRET}' ssh admin@array",
        f"snmp community: {SECRET}",
        f"SNMP_COMMUNITY={SECRET}",
        f"cannot log in as admin:{SECRET}@10.0.0.1",
        f"scp admin:{SECRET}@array.example.org:/tmp/x .",
        f"AWS_SECRET_ACCESS_KEY={SECRET}",
        f"secret_key = '{SECRET}', region = 'x'",
        f"auth_key={SECRET}",
        f"{{'auth_key': u'{SECRET}'}}",
        f"{{'X-Auth-Token': '{SECRET}', 'Accept': '*/*'}}",
        f"X-Auth-Token: {SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"{{'Authorization': b'Basic {SECRET}'}}",
        f"auth_token: '{SECRET}'",
        f'password: "{SECRET}", user: x',
        f"password: {SECRET}",
        f"API-Key: {SECRET}\nnext",
        f"PGPASSWORD={SECRET} psql",
        f"passwd={SECRET}&apikey={SECRET}&sessionid={SECRET}",
        f"array --chap-secret {SECRET} --os-password {SECRET}",
        f"https://store/o?X-Amz-Signature={SECRET}",
    ],
)
def test_texts_are_masked(text: str) -> None:
    assert SECRET not in masked_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "[backup] backup_s3_store_secret_key: is not set",
        "the row's host:cinder-1@lvm, backend: node:3@lvm, host: node@lvm#pool",
        "at 12:30@noon, mail admin@example.org: no answer",
        "rbd:volumes/volume-1@snapshot, node:/export@lvm, image:1@s",
        "volume 1 is on host@lvm#pool = 3, x-openstack-request-id: req-1",
        "Authorization: failed",
        "password: wrong",
        "a password: chmod o-rwx /etc/holdfast/1.conf",
        "keyring=/etc/ceph/ceph.client.cinder.keyring",
    ],
)
def test_a_text_without_secrets_stays(text: str) -> None:
    assert masked_text(text) == text


def test_values_are_masked_at_any_depth() -> None:
    value = {"a": [{"authPassword": SECRET}, ("x", {"auth_key": SECRET})], "secret": {"b": SECRET}}

    assert SECRET not in str(masked_value(value))
    assert masked_value({"password": None, "host": "h", "n": [1, True]}) == {
        "password": None,
        "host": "h",
        "n": [1, True],
    }
