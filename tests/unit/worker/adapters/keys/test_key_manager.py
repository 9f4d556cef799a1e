# SPDX-License-Identifier: Apache-2.0
"""Order of credentials, repetition and access lists of calls of a key manager."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg

from flows.errors import KeyManagerError, ManagedObjectNotFoundError, ProcessStopping
from flows.protocols.encryption_keys import NoKeys, Passphrase
from tests.unit.worker.adapters.keys.scripted_manager import ScriptedManager
from worker.adapters.keys import key_manager
from worker.adapters.keys.credentials import Credential
from worker.adapters.keys.managers import (
    CredentialExpired,
    CredentialForbidden,
    KeyManagerAway,
    Secret,
)
from worker.conf import option_groups

TOKEN, ACCOUNT = Credential(None, "plugin"), Credential("keystone_authtoken", "plugin")
REQUEST: Any = SimpleNamespace(user_id="u")
OWNER: Any = SimpleNamespace(id="b1", user_id="u")
KEY = Secret("SymmetricKey", b"\x0a\xff", "aes", 16)


class Setting:
    """A key manager with a scripted one behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *credentials: Credential) -> None:
        conf = cfg.ConfigOpts()
        option_groups.register_all(conf)
        conf([], default_config_files=[])
        self.conf, self.manager, self.stopping = conf, ScriptedManager(), threading.Event()
        self.pauses: list[float] = []
        monkeypatch.setattr(self.stopping, "wait", self._wait)
        given = SimpleNamespace(of=lambda _request: iter(credentials))
        self.keys = key_manager.KeyManager(conf, self.stopping)
        monkeypatch.setattr(self.keys, "_parts", lambda: (self.manager, given))
        self.manager.secrets["k"] = KEY

    def _wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return self.stopping.is_set()


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    yield Setting(monkeypatch, TOKEN, ACCOUNT)


def test_the_token_comes_first_and_the_account_is_not_asked(setting: Setting) -> None:
    made = setting.keys.clone(REQUEST, "k", OWNER)

    assert setting.manager.calls == [("get", None), ("store", None)]
    assert setting.manager.secrets[made] == KEY
    assert setting.manager.names[made] == "holdfast b1"
    assert setting.manager.readers == {}


def test_an_expired_token_is_replaced_by_the_account_and_the_user_may_read(
    setting: Setting,
) -> None:
    setting.manager.fails = [CredentialExpired("expired")]

    made = setting.keys.create_key(REQUEST, OWNER, "aes", 256)

    assert [account for _call, account in setting.manager.calls] == [None, *[ACCOUNT.account] * 2]
    assert setting.manager.readers == {made: ["u"]}


def test_a_key_whose_access_list_fails_is_deleted(setting: Setting) -> None:
    setting.manager.fails = [CredentialExpired("expired")]
    setting.manager.let_read = _refuse  # type: ignore[method-assign]

    with pytest.raises(KeyManagerError, match="no list"):
        setting.keys.create_key(REQUEST, OWNER, "aes", 256)

    assert set(setting.manager.secrets) == {"k"}


def _refuse(*_args: Any) -> None:
    raise KeyManagerError("no list")


@pytest.mark.parametrize(
    ("call", "asked"),
    [("passphrase", [None]), ("delete", [None, ACCOUNT.account])],
)
def test_a_forbidden_call_goes_to_the_account_only_for_a_deletion(
    setting: Setting, call: str, asked: list[str | None]
) -> None:
    setting.manager.fails = [CredentialForbidden("no right") for _ in asked]

    with pytest.raises(KeyManagerError, match="no right") as caught:
        getattr(setting.keys, call)(REQUEST, "k")

    assert type(caught.value) is KeyManagerError  # the journal and callers know no other
    assert [account for _call, account in setting.manager.calls] == asked
    assert setting.pauses == []


def test_a_token_that_does_not_suffice_names_the_section_to_fill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting = Setting(monkeypatch, TOKEN)
    setting.manager.fails = [CredentialExpired("expired")]

    with pytest.raises(KeyManagerError, match=r"expired; no account .*\[key_manager\] auth_type"):
        setting.keys.passphrase(REQUEST, "k")


def test_an_absent_key_is_reported_by_a_read_and_no_error_of_a_deletion(setting: Setting) -> None:
    setting.keys.delete(REQUEST, "gone")
    with pytest.raises(ManagedObjectNotFoundError, match="gone"):
        setting.keys.passphrase(REQUEST, "gone")

    assert setting.manager.calls == [("delete", None), ("get", None)]


def test_an_absent_manager_is_asked_again(setting: Setting) -> None:
    setting.manager.fails = [KeyManagerAway("away") for _ in range(3)]

    assert setting.keys.passphrase(REQUEST, "k") == Passphrase(KEY.data)
    assert setting.pauses == [0.5, 1.0, 2.0]
    assert {account for _call, account in setting.manager.calls} == {None}


def test_an_absent_manager_is_given_up_after_its_time(setting: Setting) -> None:
    setting.conf.set_override("retry_seconds", 0, group="key_manager")
    setting.manager.fails = [KeyManagerAway("away")]

    with pytest.raises(KeyManagerError, match="away") as caught:
        setting.keys.passphrase(REQUEST, "k")

    assert type(caught.value) is KeyManagerError
    assert setting.pauses == []


def test_a_stop_ends_the_wait(setting: Setting) -> None:
    setting.stopping.set()
    setting.manager.fails = [KeyManagerAway("away")]

    with pytest.raises(ProcessStopping):
        setting.keys.passphrase(REQUEST, "k")


def test_keys_that_no_row_names_are_deleted_by_their_name(setting: Setting) -> None:
    lost, named = (setting.keys.clone(REQUEST, "k", OWNER) for _ in range(2))
    other: Any = SimpleNamespace(id="b2", user_id="u")
    of_another = setting.keys.clone(REQUEST, "k", other)

    setting.keys.remove_unnamed(REQUEST, OWNER, [named])

    assert set(setting.manager.secrets) == {"k", named, of_another}
    assert lost not in setting.manager.secrets


def test_a_passphrase_is_hex_and_shows_nothing() -> None:
    one = Passphrase(b"\x0a\xff")

    assert one.reveal() == b"0aff"
    assert repr(one) == str(one) == f"{one}" == "Passphrase(***)"
    assert one != Passphrase(b"\x0a\xfe")
    with pytest.raises(TypeError):
        pickle.dumps(one)
    assert "\\xff" not in repr(KEY)


def test_a_process_without_a_key_manager_says_so() -> None:
    with pytest.raises(KeyManagerError, match="no key manager, and clone needs one"):
        NoKeys().clone(REQUEST, "k", OWNER)
