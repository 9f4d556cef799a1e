# SPDX-License-Identifier: Apache-2.0
"""What other services on the bus are asked."""
