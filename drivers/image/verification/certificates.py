# SPDX-License-Identifier: Apache-2.0
"""Certificates in Barbican, which the properties of signed images name.

The service asks with its own account: a token of the caller's would not outlive a restart. The id
of a certificate is untrusted input, and the secret is used for nothing but a signature.
"""

from __future__ import annotations

import json
from typing import Any

import tenacity
from oslo_utils import units, uuidutils

from drivers import http_answers
from drivers.encryption import barbican
from drivers.interface.errors import ImageSignatureVerificationException

_VERSION = "/v1"
_LONGEST = 256 * units.Ki
_ATTEMPTS, _LONGEST_WAIT = 5, 180.0
"""Attempts at most, and the seconds after which none is begun."""

_FINAL = (LookupError, ValueError, AttributeError, RecursionError)
"""Errors that each attempt would meet; others are those of a connection."""

_NOT_FINAL = (408, 425, 429)
"""Refusals that another attempt may not meet."""

_FORBIDDEN = 403


class BarbicanUnavailable(Exception):
    """Barbican does not answer: another attempt may help."""


class Certificates:
    """Reads certificates.

    :param conf: the configuration.
    """

    def __init__(self, conf: Any) -> None:
        self._conf = conf

    def read(self, certificate_id: str, label: str) -> bytes:
        """Return a certificate as Barbican has it.

        :param label: names the image.
        :raises ImageSignatureVerificationException: it cannot be read; the text has the reason.
        """
        text = f"the certificate {certificate_id!s:.80} of {label} cannot be read"
        if not uuidutils.is_uuid_like(certificate_id):
            raise ImageSignatureVerificationException(f"{text}: it has no id of a secret")
        try:
            return self._retried(str(certificate_id))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ImageSignatureVerificationException(f"{text}: {reason:.500}") from error

    def _retried(self, certificate_id: str) -> bytes:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_not_exception_type(_FINAL),
            wait=tenacity.wait_incrementing(start=0, increment=1),
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(_ATTEMPTS), tenacity.stop_after_delay(_LONGEST_WAIT)
            ),
            reraise=True,
        )
        return retrying(self._read, certificate_id)

    def _read(self, certificate_id: str) -> bytes:
        session = self._session()
        address = f"{barbican.address(self._conf, session)}{_VERSION}/secrets/{certificate_id}"
        known = self._get(session, address, "application/json")
        kinds = _record(known).get("content_types") or {}
        return self._get(session, f"{address}/payload", str(kinds.get("default") or "*/*"))

    def _get(self, session: Any, address: str, kind: str) -> bytes:
        how = {"stream": True, "raise_exc": False, "headers": {"Accept": kind}}
        answer = session.request(address, "GET", **how)
        try:
            code = answer.status_code
            if code >= 500 or code in _NOT_FINAL:
                raise BarbicanUnavailable(f"Barbican answers with {code}")
            if code == _FORBIDDEN:
                advice = "the account of this service needs access to it (openstack acl user add)"
                raise LookupError(f"Barbican answers with {code}: {advice}")
            if code != 200:
                raise LookupError(f"Barbican answers with {code}")
            return http_answers.content(answer.raw, barbican.TIMEOUT, _LONGEST)
        finally:
            answer.close()

    def _session(self) -> Any:
        account = barbican.account(self._conf)
        if account is None:
            sections = barbican.SECTIONS_OF_ACCOUNTS
            text = f"no account of Barbican is configured, see [{sections[1]}] auth_type"
            raise LookupError(f"{text} or [{sections[-1]}]")
        return barbican.session(self._conf, account.plugin, account.section)


def _record(data: bytes) -> dict[str, Any]:
    known = json.loads(data)
    if not isinstance(known, dict):
        raise ValueError("Barbican has no record of it")
    return known
