# SPDX-License-Identifier: Apache-2.0
"""Operations on groups of volumes, one module for each."""
