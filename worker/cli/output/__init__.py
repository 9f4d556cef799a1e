# SPDX-License-Identifier: Apache-2.0
"""Formats of the command line: tables, graphs, reports, progress."""
