# SPDX-License-Identifier: Apache-2.0
"""Figures of a running service: its resources, samples over time, plots."""
