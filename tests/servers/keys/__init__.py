# SPDX-License-Identifier: Apache-2.0
"""Key managers: a real Barbican, and a stand-in for Vault."""
