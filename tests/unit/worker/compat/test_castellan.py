# SPDX-License-Identifier: Apache-2.0
"""The private parts of castellan are as ``worker.compat`` uses them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from worker.compat import castellan as compat

pytest.importorskip("castellan")

from barbicanclient import exceptions as of_client
from castellan.common import exception
from castellan.common.utils import credential_opts
from castellan.key_manager import (
    barbican_key_manager,
    key_manager_opts,
    vault_key_manager,
)
from keystoneauth1 import exceptions as of_keystone

from drivers.encryption import barbican
from worker.conf import key_managers as options


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (barbican.OPTS, barbican_key_manager._barbican_opts),
        (options.VAULT_OPTS, vault_key_manager._vault_opts),
        ([*options.OPTS[:1], *barbican.LOGIN_OPTS], [*key_manager_opts, *credential_opts]),
    ],
)
def test_options_have_castellans_names_defaults_and_secrecy(ours: Any, theirs: Any) -> None:
    def facts(opts: Any) -> dict[str, Any]:
        return {one.dest: (type(one), one.default, bool(one.secret)) for one in opts}

    assert facts(ours) == facts(theirs)


def test_each_call_makes_its_client_by_the_replaced_method() -> None:
    source = inspect.getsource(barbican_key_manager.BarbicanKeyManager)

    assert source.count("session.Session(") == 1
    assert list(
        inspect.signature(barbican_key_manager.BarbicanKeyManager._get_barbican_client).parameters
    ) == ["self", "context"]
    assert "self._build_auth_headers()" in inspect.getsource(
        vault_key_manager.VaultKeyManager._do_http_request
    )


def raised(outer: Exception, inner: Exception | None = None) -> Exception:
    """Return an error as castellan raises it, in the handler of another one."""
    try:
        if inner is None:
            raise outer
        try:
            raise inner
        except type(inner):
            raise outer  # noqa: B904 - as castellan does
    except Exception as error:  # noqa: BLE001
        return error


def manager_error(inner: Exception) -> Exception:
    return raised(exception.KeyManagerError(reason=inner), inner)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (manager_error(of_client.HTTPAuthError("no")), "expired"),
        (manager_error(of_client.HTTPClientError("no", 403)), "refused"),
        (manager_error(of_client.HTTPClientError("no", 404)), "missing"),
        (manager_error(of_client.HTTPClientError("no", 400)), "final"),
        (manager_error(of_client.HTTPServerError("no", 503)), "temporary"),
        (manager_error(of_keystone.ConnectFailure("no")), "temporary"),
        (of_keystone.ConnectTimeout("no"), "temporary"),
        (of_keystone.Unauthorized("no"), "expired"),
        (exception.ManagedObjectNotFoundError(uuid="k"), "missing"),
        (exception.Forbidden(), "refused"),
        (exception.KeyManagerError("Service Unavailable"), "temporary"),
        (exception.KeyManagerError("token_role is required"), "final"),
        (ValueError("Length must be multiple of 8."), "final"),
    ],
)
def test_errors_have_kinds(error: Exception, kind: str) -> None:
    found = [
        name
        for name in ("missing", "expired", "refused", "temporary")
        if getattr(compat, f"is_{name}")(error)
    ]

    assert (found or ["final"])[0] == kind
