# SPDX-License-Identifier: Apache-2.0
"""Operations: one module per operation, each a taskflow flow."""
