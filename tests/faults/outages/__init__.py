# SPDX-License-Identifier: Apache-2.0
"""Dependencies of the service go away, come back, or lie."""
