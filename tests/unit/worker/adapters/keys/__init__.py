# SPDX-License-Identifier: Apache-2.0
"""The key manager: credentials, repetition, the fixed key."""
