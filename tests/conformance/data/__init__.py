# SPDX-License-Identifier: Apache-2.0
"""Data that is readable in volumes."""
