# SPDX-License-Identifier: Apache-2.0
"""Threads for every test: oslo's libraries choose eventlet unless told before their import."""

from oslo_service import backend

backend.init_backend(backend.BackendType.THREADING)
