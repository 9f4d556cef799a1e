# SPDX-License-Identifier: Apache-2.0
"""Tests of the stores of backups: their clients and options."""
