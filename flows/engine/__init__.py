# SPDX-License-Identifier: Apache-2.0
"""Runs of flows on taskflow's engines, from start or resumption to outcome.

No other package knows taskflow's engines.
"""
