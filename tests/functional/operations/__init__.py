# SPDX-License-Identifier: Apache-2.0
"""Every operation, over the real bus and three databases: cast, outcome, rows, backend."""
