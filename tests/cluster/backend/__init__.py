# SPDX-License-Identifier: Apache-2.0
"""A backend that all hosts share, and its history of their calls."""
