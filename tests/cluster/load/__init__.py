# SPDX-License-Identifier: Apache-2.0
"""Operations that are cast to the hosts, and the ledger of their ends."""
