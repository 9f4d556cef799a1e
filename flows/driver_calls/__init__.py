# SPDX-License-Identifier: Apache-2.0
"""Calls of volume drivers: checks of arguments and answers, and several calls at a time."""
