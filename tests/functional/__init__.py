# SPDX-License-Identifier: Apache-2.0
"""The service as a separate process over real servers, as an operator starts it."""
