# SPDX-License-Identifier: Apache-2.0
"""Ids that a person has cut short, and errors for that person."""
