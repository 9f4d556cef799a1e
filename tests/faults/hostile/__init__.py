# SPDX-License-Identifier: Apache-2.0
"""Messages that somebody made to hurt, and drivers that kill their process."""
