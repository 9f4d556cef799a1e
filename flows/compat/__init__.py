# SPDX-License-Identifier: Apache-2.0
"""Private parts of taskflow that flows and the journal need; see ``worker.compat``."""
