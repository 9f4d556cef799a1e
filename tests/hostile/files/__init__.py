# SPDX-License-Identifier: Apache-2.0
"""Files of the host: their modes, their owners, and what is installed."""
