# SPDX-License-Identifier: Apache-2.0
"""Stops, reloads, restarts one by one, and several processes on one queue."""
