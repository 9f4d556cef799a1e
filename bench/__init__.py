# SPDX-License-Identifier: Apache-2.0
"""Measurements: speed and memory, as ratios against a peer or a baseline."""

from worker.compat import native_threads  # noqa: F401  first: it keeps eventlet out of the process
