# SPDX-License-Identifier: Apache-2.0
"""The accounts with which the service makes itself known to others, through Keystone.

A token of a caller's would not outlive a restart, and is never written down: it is the
service that asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def account(conf: Any, sections: Sequence[str]) -> str | None:
    """Return the first section that has an account; None where none has.

    The options of each are registered. Needs keystoneauth.
    """
    # Late: an optional library, which takes memory.
    from keystoneauth1 import loading

    for section in sections:
        loading.register_auth_conf_options(conf, section)
        loading.register_session_conf_options(conf, section)
    given = (name for name in sections if conf[name].auth_section or conf[name].auth_type)
    return next(given, None)


def session(conf: Any, section: str, **how: Any) -> Any:
    """Return a session of an account.

    :param how: settings that replace the account's own ``cacert``, ``cert``, ``key``,
        ``insecure`` and ``timeout``.
    :raises Exception: the section says something that keystoneauth cannot use.
    """
    # Late: an optional library, which takes memory.
    from keystoneauth1 import loading

    auth = loading.load_auth_from_conf_options(conf, section)
    return loading.load_session_from_conf_options(conf, section, auth=auth, **how)
