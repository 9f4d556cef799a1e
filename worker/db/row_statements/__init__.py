# SPDX-License-Identifier: Apache-2.0
"""Statements that every operation repeats, in forms that cost little processor time."""
