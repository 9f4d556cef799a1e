# SPDX-License-Identifier: Apache-2.0
"""Connections to Swift whose answers are read with limits.

Imported only where one is made: the library takes memory.
"""

from __future__ import annotations

from typing import Any

import swiftclient
from swiftclient.client import AUTH_VERSIONS_V1, ClientException, logger_settings

from drivers import answer_heads
from drivers.backup.stores import swift_login, whole_answers
from drivers.trace_headers import TRACE_HEADERS

# Of each token, the library would log the first characters.
logger_settings["reveal_sensitive_prefix"] = 0


class Connection(swiftclient.Connection):  # type: ignore[misc]  # the library has no hints
    """A connection: lists, errors and the answers to a login have limits.

    Its argument ``timeout`` is also the time in which the head, and such a body, have to end.

    :param account: address and token of a user's account, in place of a login. The attribute
        ``service_token`` is sent beside that token.
    """

    def __init__(self, *, account: tuple[str, str] | None = None, **how: Any) -> None:
        if account is not None:
            how["preauthurl"], how["preauthtoken"] = account
        super().__init__(**how)
        self._account = account

    def http_connection(self, url: str | None = None) -> tuple[Any, Any]:
        """Return the parsed address, and a connection to it."""
        parsed, made = super().http_connection(url)
        answer_heads.limit(made.request_session)
        TRACE_HEADERS.add_to(made.request_session)
        answer_of = made.getresponse

        def getresponse() -> Any:
            return _limited(answer_of(), self.timeout)

        made.getresponse = getresponse
        return parsed, made

    def get_auth(self) -> tuple[str, str]:
        """Log in. :raises ClientException: Swift has refused the token of a user before."""
        if self._account is not None:
            raise ClientException("the token of the user was refused", http_status=401)
        if self.auth_version not in AUTH_VERSIONS_V1:
            return swift_login.log_in(self)
        parsed, connection = self.http_connection(self.authurl)
        headers = {"X-Auth-User": self.user, "X-Auth-Key": self.key}
        try:
            connection.request("GET", parsed.path, "", headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        address = answer.getheader("x-storage-url")
        if not 200 <= answer.status < 300 or not address:
            raise ClientException.from_response(answer, "Auth GET failed", body)
        return address, answer.getheader("x-storage-token", answer.getheader("x-auth-token"))


def _limited(answer: Any, seconds: float) -> Any:
    """Return an answer whose body is read with limits where it is read as a whole.

    Parts of an object are read up to its end: a retry of the library skips the bytes that it has,
    and would read on for ever where the object has become shorter.
    """
    read_part, has_ended = answer.read, False

    def read(*length: int) -> bytes:
        nonlocal has_ended
        if not length:
            return _whole(answer, seconds)
        part: bytes = read_part(*length)
        if not part and has_ended:
            raise OSError("the object is shorter than before")
        has_ended = not part
        return part

    answer.read = read
    return answer


def _whole(answer: Any, seconds: float) -> bytes:
    try:
        body = whole_answers.content(answer.raw, seconds)
    finally:
        answer.close()
    answer.headers.pop("Content-Encoding", None)  # the library would inflate it again
    return body
