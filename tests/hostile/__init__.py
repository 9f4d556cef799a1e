# SPDX-License-Identifier: Apache-2.0
"""Attacks from across each trust boundary of docs/threats.rst; one folder for each boundary."""
