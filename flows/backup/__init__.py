# SPDX-License-Identifier: Apache-2.0
"""Operations on backups, as the backup service runs them."""
