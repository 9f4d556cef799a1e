# SPDX-License-Identifier: Apache-2.0
"""The service as a process: its start and stop, its limits, its input."""
