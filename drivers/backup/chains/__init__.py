# SPDX-License-Identifier: Apache-2.0
"""Changes of chains of stored backups, and scrubs."""
