# SPDX-License-Identifier: Apache-2.0
"""Drivers, beyond what the conformance suite asks of all of them."""
