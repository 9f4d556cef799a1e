# SPDX-License-Identifier: Apache-2.0
"""Ask a running service for its log levels, and set them."""

from __future__ import annotations

from oslo_messaging import MessagingTimeout, RemoteError

from worker.cli.access import Access, CommandError
from worker.rpc import objects
from worker.rpc.clients.backup import BackupClient
from worker.rpc.clients.service import ServiceClient
from worker.rpc.clients.volume import VolumeClient
from worker.rpc.request_context import RequestContext


class LevelRequests:
    """Requests to one service.

    :param binary: ``cinder-volume`` or ``cinder-backup``.
    :param host: of its row.
    """

    def __init__(self, access: Access, binary: str, host: str) -> None:
        client = BackupClient if binary == "cinder-backup" else VolumeClient
        self._seconds = access.conf.rpc_response_timeout
        self._client: ServiceClient = client(access.bus, self._seconds)
        self._host = host

    def levels(self, prefix: str) -> dict[str, str]:
        """Return the level of each logger of a process.

        :raises CommandError: there is no answer.
        """
        request = objects.log_level(prefix)
        try:
            answer = self._client.call(
                RequestContext.admin(), self._host, "get_log_levels", log_request=request
            )
        except MessagingTimeout as error:
            text = f"no answer from {self._host} within {self._seconds} s"
            raise CommandError(f"{text}; see: holdfast service list") from error
        except RemoteError as error:
            raise CommandError(f"{self._host} refuses: {error.value}") from error
        return {str(one["prefix"]): str(one["level"]) for one in answer}

    def set_levels(self, prefix: str, level: str) -> None:
        """Set the level of loggers, without waiting for it.

        All processes of a backend get the message. A fanout to backup services would reach those
        of other hosts as well, so one of their processes gets it.
        """
        request = objects.log_level(prefix, level)
        client = self._client
        send = client.cast if isinstance(client, BackupClient) else client.cast_to_all
        send(RequestContext.admin(), self._host, "set_log_levels", log_request=request)
