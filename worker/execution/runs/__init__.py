# SPDX-License-Identifier: Apache-2.0
"""The state of a running operation, and the backend that its next attempt may use."""
