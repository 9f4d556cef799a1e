# SPDX-License-Identifier: Apache-2.0
"""Keys in a real Barbican, and in a stand-in for Vault."""
