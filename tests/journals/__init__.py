# SPDX-License-Identifier: Apache-2.0
"""Journals that released versions wrote, with interrupted operations of every kind."""

from worker.compat import native_threads  # noqa: F401  before oslo.service is imported
