# SPDX-License-Identifier: Apache-2.0
"""Calls that a kill interrupts, and calls that meet another one."""
