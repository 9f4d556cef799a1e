# SPDX-License-Identifier: Apache-2.0
"""Steps on the keys of encrypted volumes and backups."""
