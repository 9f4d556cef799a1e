# SPDX-License-Identifier: Apache-2.0
"""Requests to Glance: addresses, accounts, answers and their pace."""
