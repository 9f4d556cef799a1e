# SPDX-License-Identifier: Apache-2.0
"""Operations on volumes that give them another key."""
