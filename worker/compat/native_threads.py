# SPDX-License-Identifier: Apache-2.0
"""Native threads only: import this before anything of oslo.

oslo.service drags eventlet in, futurist uses whatever is installed, and
oslo.messaging picks it by default. None of them finds it after this import.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("eventlet", None)  # type: ignore[arg-type]

from oslo_service import backend  # noqa: E402  after the line above, which it depends on

backend.init_backend(backend.BackendType.THREADING)
