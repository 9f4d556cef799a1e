# SPDX-License-Identifier: Apache-2.0
"""The key manager: Barbican and Vault through castellan, and the fixed key of Cinder."""
