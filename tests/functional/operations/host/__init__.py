# SPDX-License-Identifier: Apache-2.0
"""Operations on a whole backend: clean-up, freeze, failover."""
