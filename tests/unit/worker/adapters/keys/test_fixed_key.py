# SPDX-License-Identifier: Apache-2.0
"""The fixed key of Cinder, alone and beside another key manager (spec/encryption)."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg

from flows.errors import KeyManagerError
from tests.unit.worker.adapters.keys.scripted_manager import ScriptedManager
from worker.adapters.keys.key_manager import KeyManager
from worker.adapters.keys.managers import FIXED_KEY_ID, FixedKey, MovedFromFixedKey, Secret
from worker.conf import option_groups

HEX = "000102030405060708090a0b0c0d0e0f"
CONF_KEY_MANAGER = "cinder.keymgr.conf_key_mgr.ConfKeyManager"
OTHER = "11111111-2222-3333-4444-555555555555"


def key_manager(**values: Any) -> KeyManager:
    conf = cfg.ConfigOpts()
    option_groups.register_all(conf)
    conf([], default_config_files=[])
    for name, value in values.items():
        conf.set_override(name, value, group="key_manager")
    return KeyManager(conf, threading.Event())


REQUEST: Any = SimpleNamespace(auth_token=None)
OWNER: Any = SimpleNamespace(id="b1", user_id="u")


def test_every_key_is_the_fixed_one_and_no_token_is_needed() -> None:
    keys = key_manager(backend=CONF_KEY_MANAGER, fixed_key=HEX)

    assert keys.create_key(REQUEST, OWNER, "aes", 256) == FIXED_KEY_ID
    assert keys.passphrase(REQUEST, FIXED_KEY_ID).reveal() == HEX.encode()
    assert keys.clone(REQUEST, FIXED_KEY_ID, OWNER) == FIXED_KEY_ID
    keys.delete(REQUEST, FIXED_KEY_ID)
    assert keys.passphrase(REQUEST, FIXED_KEY_ID).reveal() == HEX.encode()


@pytest.mark.parametrize("call", ["passphrase", "delete"])
def test_a_key_of_another_manager_is_not_taken_for_absent(call: str) -> None:
    keys = key_manager(backend=CONF_KEY_MANAGER, fixed_key=HEX)

    with pytest.raises(KeyManagerError, match=f"key {OTHER} is kept elsewhere"):
        getattr(keys, call)(REQUEST, OTHER)


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "fixed_key is not set"), ("not hex: 0a1b2c", "fixed_key is not hexadecimal")],
)
def test_an_unusable_fixed_key_is_named_and_not_shown(text: str | None, reason: str) -> None:
    keys = key_manager(backend=CONF_KEY_MANAGER, fixed_key=text)

    with pytest.raises(KeyManagerError, match=reason) as caught:
        keys.passphrase(REQUEST, FIXED_KEY_ID)

    assert "0a1b2c" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_another_key_is_not_stored_as_the_fixed_one() -> None:
    with pytest.raises(KeyManagerError, match="another key than"):
        FixedKey(HEX).store(None, Secret("SymmetricKey", b"other"), "name")


def test_the_fixed_key_of_old_is_read_beside_the_manager_and_cloned_into_it() -> None:
    inner = ScriptedManager()
    both = MovedFromFixedKey(inner, FixedKey(HEX))

    assert not both.needs_credential(FIXED_KEY_ID)
    assert both.needs_credential(OTHER)
    assert both.needs_credential(None)
    secret = both.get(None, FIXED_KEY_ID)
    key_id = both.store(None, secret, "holdfast b1")
    both.delete(None, FIXED_KEY_ID)
    assert inner.secrets == {key_id: secret}
    both.delete(None, key_id)
    assert inner.secrets == {}


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(KeyManagerError, match=r"backend = other\.Class is not one of barbican,"):
        key_manager(backend="other.Class").passphrase(REQUEST, OTHER)
