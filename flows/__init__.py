# SPDX-License-Identifier: Apache-2.0
"""What an operation is: one module per operation, each a taskflow flow."""
