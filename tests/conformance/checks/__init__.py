# SPDX-License-Identifier: Apache-2.0
"""Checks that every test makes: answers, secrets in texts, and objects left behind."""
