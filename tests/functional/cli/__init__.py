# SPDX-License-Identifier: Apache-2.0
"""The command line against a running service."""
