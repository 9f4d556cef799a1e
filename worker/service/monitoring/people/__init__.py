# SPDX-License-Identifier: Apache-2.0
"""Requests of people at the listener, and the process that makes their pages."""
