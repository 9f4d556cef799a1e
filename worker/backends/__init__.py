# SPDX-License-Identifier: Apache-2.0
"""Configured drivers of this process: set-up, statistics, reports, start-up checks."""
