# SPDX-License-Identifier: Apache-2.0
"""The operator's tool: one module per noun, one class per verb."""
