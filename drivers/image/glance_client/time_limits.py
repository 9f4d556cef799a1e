# SPDX-License-Identifier: Apache-2.0
"""The least pace at which Glance has to send the data of an image."""

from __future__ import annotations


class TooSlow(TimeoutError):
    """A download makes too little progress to be continued."""


class MinimumRate:
    """Ends a download that makes too little progress.

    Only waits for data count: a slow volume is no fault of Glance's.

    :param rate: bytes per second; 0 for no limit.
    :param window: seconds over which the rate is measured.
    """

    def __init__(self, rate: float, window: float) -> None:
        self._rate, self._window = rate, window
        self._seconds, self._size = 0.0, 0

    def waited(self, seconds: float, size: int) -> None:
        """Count a wait. :raises TooSlow: names the amount, the time and the option."""
        self._seconds += seconds
        self._size += size
        if self._seconds < self._window or not size:
            return
        if self._size < self._rate * self._seconds:
            text = f"only {self._size} bytes came in {self._seconds:.0f} s of waiting"
            raise TooSlow(f"{text}, see glance_download_min_rate")
        self._seconds, self._size = 0.0, 0
