# SPDX-License-Identifier: Apache-2.0
"""Ways of giving a local file to a consumer as a block device."""
