# SPDX-License-Identifier: Apache-2.0
"""Operations as a user of Cinder's API sees them."""
