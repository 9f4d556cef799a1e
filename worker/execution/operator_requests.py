# SPDX-License-Identifier: Apache-2.0
"""Answer what operators ask of flows."""

from __future__ import annotations

import logging
import threading

import sqlalchemy as sa

from worker.execution.operator_actions import ActionRefused, OperatorActions
from worker.journal.journal import Journal
from worker.journal.operator_requests import OperatorRequest, RequestResult
from worker.journal.persistence import JournalError

LOG = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two looks for requests."""


class RequestPoller:
    """Looks for requests until the service stops.

    :param slot: whose flows are ours.
    """

    def __init__(
        self, journal: Journal, slot: str, wishes: OperatorActions, stopping: threading.Event
    ) -> None:
        self._journal = journal
        self._slot = slot
        self._stopping = stopping
        self._actions = {
            "cancel": wishes.cancel,
            "revert": wishes.revert,
            "resume": wishes.resume,
        }

    def start(self) -> None:
        """Begin to look, on a thread of its own."""
        threading.Thread(target=self._loop, name="requests", daemon=True).start()

    def _loop(self) -> None:
        while not self._stopping.wait(PAUSE):
            try:
                for request in self._journal.requests.pending(self._slot):
                    answer = self._carry_out(request)
                    self._journal.requests.answer(request.id, answer)
            except sa.exc.SQLAlchemyError as error:
                LOG.debug("no requests could be read: %s", error)
            except Exception:
                LOG.exception("a request was not carried out")

    def _carry_out(self, request: OperatorRequest) -> RequestResult:
        LOG.info("an operator asks: %s flow %s", request.action, request.flow)
        action = self._actions.get(request.action)
        if action is None:
            return RequestResult(False, f"this version does not know the request {request.action}")
        try:
            return RequestResult(True, action(request.flow))
        except (ActionRefused, JournalError) as error:
            LOG.info("refused: %s", error)
            return RequestResult(False, str(error))
