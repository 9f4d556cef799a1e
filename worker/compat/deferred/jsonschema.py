# SPDX-License-Identifier: Apache-2.0
"""Defer jsonschema, which taskflow imports for its workers: import this before taskflow.

Only failures that come from another process are validated with it. It and its packages take 5 %
of the processor time of a start.
"""

from worker.compat.deferred.deferral import defer

VALIDATION = "taskflow.utils.schema_utils"

defer(VALIDATION)
