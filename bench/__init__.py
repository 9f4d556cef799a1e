# SPDX-License-Identifier: Apache-2.0
"""Measurements: speed and memory, as ratios against a peer or a baseline."""
