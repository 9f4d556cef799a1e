# SPDX-License-Identifier: Apache-2.0
"""Moving data between a volume and a store of backups."""
