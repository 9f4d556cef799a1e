# SPDX-License-Identifier: Apache-2.0
"""From an accepted message to an ended operation: intake, queues, threads, time limits."""
