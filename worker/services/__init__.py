# SPDX-License-Identifier: Apache-2.0
"""Processes: what starts, runs, reports and stops a service."""
