# SPDX-License-Identifier: Apache-2.0
"""Repeat the set-up of a driver until it succeeds or the process stops."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import tenacity
from oslo_utils import timeutils
from tenacity.wait import WaitBaseT

LOG = logging.getLogger(__name__)


def until_up(
    attempt: Callable[[], bool], stopping: threading.Event, name: str, wait: WaitBaseT
) -> None:
    """Call ``attempt`` until it returns True.

    :param name: begins the log lines.
    :param wait: gives the pause after a failed attempt.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda done: not done),
        wait=wait,
        sleep=tenacity.sleep_using_event(stopping),
        before_sleep=lambda state: LOG.info(
            "%s: next attempt in %.0f s", name, state.upcoming_sleep
        ),
    )
    watch = timeutils.StopWatch().start()
    # No set-up begins after the stop; a set-up can take minutes.
    retrying(lambda: stopping.is_set() or attempt())
    if retrying.statistics["attempt_number"] > 1 and not stopping.is_set():
        LOG.info("%s is up after %.0f s", name, watch.elapsed())
