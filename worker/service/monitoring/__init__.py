# SPDX-License-Identifier: Apache-2.0
"""Answers of a service to monitors and people: alive, ready, metrics, pages."""
