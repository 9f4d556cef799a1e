# SPDX-License-Identifier: Apache-2.0
"""Operations on a backend as a whole, one module for each."""
