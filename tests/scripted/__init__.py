# SPDX-License-Identifier: Apache-2.0
"""Drivers whose behaviour a test writes into a file."""
