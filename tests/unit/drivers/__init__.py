# SPDX-License-Identifier: Apache-2.0
"""Drivers, beyond the conformance suite."""
