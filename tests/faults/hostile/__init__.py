# SPDX-License-Identifier: Apache-2.0
"""Malicious messages, and drivers that kill their process."""
